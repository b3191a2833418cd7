"""The Q factor of base plus tangent, by Cholesky factorisation."""

import math

import torch
from torch import Tensor

from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.base import Claims, Trivialisation
from stiefel.errors import OutOfReachError
from stiefel.linalg import add_identity_, add_product, add_product_, can_branch, inverse_cholesky, norm_1, sym

# One pass leaves a residual of c·eps·κ, κ = ‖YᵀY‖₂ as YᵀY >= I. At the edge of the domain ‖YᵀY‖₁ is 37 or less
# (3024 × 192) and the residual 0.2 n·eps or less; at ‖F‖₂ = 300 and rank one it would be 1442 n·eps (60 × 20).
_SECOND_PASS = 100.0


class QR(HandDifferentiated, Trivialisation):
    """X = Y·R⁻¹, Y = X0 + U, RᵀR = YᵀY = I + UᵀU, R upper triangular with a positive diagonal.

    Far outside the domain, where YᵀY is ill-conditioned, a second pass orthonormalises again; so it does where Python
    can't look at the norm (torch.compile, vmap, a GPU, which reading would stall). Past ‖F‖₂ of 1/(8√eps), 362 in
    float32, YᵀY need not be positive definite to rounding: the CPU says so, elsewhere the point is wrong.

    Raises: OutOfReachError, on CPU in eager mode.
    """

    claims = Claims(
        summary="QR factor by Cholesky: first order, no iteration",
        source="Absil, Mahony & Sepulchre 2008, example 4.1.3; Yamamoto et al. 2015 (Cholesky-QR twice)",
        residual=30,
        domain=math.pi,
        retraction_order=1,
        metric="euclidean",
        optimiser="any",
        cost="8np² + ⅔p³",
        field="complex",
    )

    def evaluate(self, base: Tensor, free: Tensor) -> Evaluation:
        inner = base.mH @ free
        moved = add_product(free, base, add_identity_(-sym(inner)))
        gram = moved.mH @ moved
        inverse = _inverse_factor(gram)
        point = moved @ inverse
        if _is_well_conditioned(gram):
            return Evaluation(point, (inverse,))
        again = _inverse_factor(point.mH @ point)
        return Evaluation(point @ again, (inverse @ again,))

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        # dX = (I − XXᵀ)·dY·R⁻¹ + X·Ω; Ω is skew and its lower triangle is that of Xᵀ·dY·R⁻¹.
        (inverse,) = kept.saved
        inner = kept.point.mH @ grad
        lower = torch.tril(inner - inner.mH)
        lower.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        along = add_product_(grad @ inverse.mH, kept.point, (lower - inner) @ inverse.mH)
        return add_product_(along, base, -sym(base.mH @ along))


def _inverse_factor(gram: Tensor) -> Tensor:
    inverse, failure = inverse_cholesky(gram)
    if can_branch(gram) and bool(failure.any()):
        norm = float(norm_1(gram.detach()).amax()) ** 0.5
        raise OutOfReachError("free tensor of 'qr'", torch.finfo(gram.dtype).eps ** -0.5 / 8, norm)
    return inverse


def _is_well_conditioned(gram: Tensor) -> bool:
    return can_branch(gram) and not bool((norm_1(gram.detach()) > _SECOND_PASS).any())
