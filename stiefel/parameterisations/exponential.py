"""The canonical geodesic from the base, in p-sized work."""

import math

from torch import Tensor

from stiefel.base import Claims
from stiefel.compact import CompactTrivialisation
from stiefel.linalg import matrix_exp
from stiefel.manifold import geodesic_coefficients


class Exponential(CompactTrivialisation):
    """X = exp(W)·X0, W skew and n × n with W·X0 = U, without ever forming W: X = X0·T + K·N.

    U is the tangent projection of the free tensor at X0. `stiefel.manifold.geodesic_coefficients` has T and N.
    """

    claims = Claims(
        summary="matrix exponential: the canonical geodesic, p-sized work",
        source="Edelman, Arias & Smith 1998, eq. 2.42",
        residual=30,
        domain=math.pi,
        retraction_order=math.inf,
        metric="canonical",
        optimiser="any",
        cost="8np² + c·p³",
        field="complex",
    )

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        n, p = self.base.shape[-2:]
        # A square point has no normal part, and its geodesic is a p-sized exponential.
        return (matrix_exp(rotation), gram) if n == p else geodesic_coefficients(rotation, gram)
