"""The matrix exponential as the VkD paper and PyTorch compute it: n × n, kept as an oracle and a baseline."""

import math

from jaxtyping import Inexact
from torch import Tensor

from stiefel.base import Claims, Trivialisation
from stiefel.manifold import dense_exp


class DenseExponential(Trivialisation):
    """X = exp(W)·X0 through the n × n skew matrix W: the same point as `exponential`, at n³ cost."""

    claims = Claims(
        summary="matrix exponential of an n × n skew matrix: the paper's form, an oracle and a baseline",
        source="Miles et al. 2024 (VkD), section 3.2; Lezcano-Casado & Martínez-Rubio 2019",
        residual=30,
        domain=math.pi,
        retraction_order=math.inf,
        metric="canonical",
        optimiser="any",
        cost="(10 + 2s)·n³",
        field="complex",
    )

    def point(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        return dense_exp(self.base, free)
