"""The Euclidean geodesic from the base, in p-sized work."""

import math

from torch import Tensor

from stiefel.base import Claims
from stiefel.compact import CompactTrivialisation
from stiefel.linalg import matrix_exp
from stiefel.manifold import euclidean_coefficients


class ExponentialEuclidean(CompactTrivialisation):
    """X = (X0·T + K·N)·exp(−A), X0·T + K·N the canonical geodesic of the tangent vector X0·2A + K.

    The shortest path in the embedding's own metric, where `exponential` follows the canonical one; both agree on
    tangent vectors with A = 0 or K = 0. `stiefel.manifold.euclidean_coefficients` has the formula.
    """

    claims = Claims(
        summary="the Euclidean metric's geodesic, p-sized work",
        source="Edelman, Arias & Smith 1998, eq. 2.22",
        residual=30,
        domain=math.pi,
        retraction_order=math.inf,
        metric="euclidean",
        optimiser="any",
        cost="8np² + c·p³",
        field="complex",
    )

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        n, p = self.base.shape[-2:]
        # A square point has no normal part, and its geodesic is a p-sized exponential: the canonical one.
        return (matrix_exp(rotation), gram) if n == p else euclidean_coefficients(rotation, gram)
