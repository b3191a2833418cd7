"""The polar factor of base plus tangent: the nearest point of the manifold."""

import math

from torch import Tensor

from stiefel.base import Claims
from stiefel.compact import CompactTrivialisation
from stiefel.linalg import identity_like, inverse_sqrt


class Polar(CompactTrivialisation):
    """X = (X0 + U)(I + UᵀU)^{-1/2}, U = X0·A + K, UᵀU = S − A²: the root is of a matrix >= I, whatever U is."""

    claims = Claims(
        summary="polar factor: the nearest point to base + tangent",
        source="Absil, Mahony & Sepulchre 2008, example 4.1.3; Absil & Malick 2012 (second order)",
        residual=30,
        domain=math.pi,
        retraction_order=2,
        metric="euclidean",
        optimiser="any",
        cost="8np² + c·p³",
    )

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        root = inverse_sqrt(identity_like(gram) - rotation @ rotation + gram)
        return root + rotation @ root, root
