"""The Q factor of base plus tangent, by one Cholesky factorisation."""

import math

import torch
from torch import Tensor

from stiefel.base import Claims
from stiefel.compact import CompactTrivialisation
from stiefel.linalg import identity_like


class QR(CompactTrivialisation):
    """X = (X0 + U)·R⁻¹, U = X0·A + K, RᵀR = I + UᵀU = I − A² + S, R upper triangular with a positive diagonal."""

    claims = Claims(
        summary="QR factor by Cholesky: first order, no iteration",
        source="Absil, Mahony & Sepulchre 2008, example 4.1.3",
        residual=30,
        domain=math.pi,
        retraction_order=1,
        metric="euclidean",
        optimiser="any",
        cost="8np² + ⅔p³",
    )

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = identity_like(gram)
        factor = torch.linalg.cholesky(eye - rotation @ rotation + gram, upper=True)
        inverse = torch.linalg.solve_triangular(factor, eye, upper=True)
        return inverse + rotation @ inverse, inverse
