"""THE RETRACTIONS of our optimisers, one line each: how a point follows a step −s·U back onto the manifold."""

from collections.abc import Callable
from typing import Literal

import geoopt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from stiefel.errors import NonFiniteError
from stiefel.linalg import can_branch, identity_like, inverse_cholesky, norm_1

Retraction = Literal["qr", "landing"]

# `landing` shortens a step until ‖s²UᵀU‖₁ <= 4: ‖sU‖₂ is 2 at most, which turns a direction by atan 2 = 63° of 90°.
_LARGEST_ERROR = 4.0
# E is s²UᵀU where X is a point and U is tangent. What is neither (a point just rounded to bfloat16; Adam's first
# direction, blown up from rounding, where the gradient is normal) adds a part of either sign: up to ½ is allowed for.
_OFF_MANIFOLD = 0.5
# E in [−½, 4] is scaled into ±0.82; Newton-Schulz steps make that 0.64, 0.37, 0.12, 0.010, 8e-5, 5e-9, 2e-17: six are
# enough for float32, seven for float64. Each one more copes with a singular value 1.5 times smaller, if E < −½.
_BLIND_STEPS = 8
# CPU in eager mode stops when it sees that E is small; this many steps bring up a singular value of 1e-5.
_MOST_STEPS = 30


def qr(
    point: Float[Tensor, "*b n p"], tangent: Float[Tensor, "*b n p"], *, factor: Float[Tensor, "*b 1 1"] | float = 1.0
) -> Float[Tensor, "*b n p"]:
    """Return the Q factor of X + factor·U with diag R > 0, by Cholesky factorisation of its Gram matrix.

    The Gram matrix is that of the sum itself, not I + UᵀU: the defect of X doesn't enter, so nothing drifts. One
    pass leaves a defect of c·n·eps·(1 + ‖U‖²), a second one c·n·eps, c < 1 in practice. CPU in eager mode takes
    the second only after a step longer than 1 in the Frobenius norm; elsewhere reading the length would stall.
    A step longer than 1/(8√eps) (362 in float32), many times round the manifold, is shortened to that: the first
    Gram matrix of a longer one need not be positive definite.

    Cost 4np² flops a pass and a factorisation of p × p. Defect <= 30·n·eps. First order.
    Raises: NonFiniteError on CPU in eager mode; otherwise a NaN step gives a NaN point.
    Source: Absil, Mahony & Sepulchre 2008, example 4.1.3; Yamamoto et al. 2015 (Cholesky-QR twice).
    """
    longest = 1 / (8 * torch.finfo(point.dtype).eps ** 0.5)
    length = torch.linalg.vector_norm(tangent, dim=(-2, -1), keepdim=True) * abs(factor)
    moved = torch.addcmul(point, tangent, factor * (longest / length).clamp_max(1))
    moved, failure = _cholesky_qr(moved)
    if can_branch(moved):
        if bool(failure.any()):
            raise NonFiniteError("step of a point", int((~tangent.isfinite()).sum()), tangent.numel())
        if float(length.amax()) <= 1:
            return moved
    return _cholesky_qr(moved)[0]


def landing(
    point: Float[Tensor, "*b n p"], tangent: Float[Tensor, "*b n p"], *, factor: Float[Tensor, "*b 1 1"] | float = 1.0
) -> Float[Tensor, "*b n p"]:
    """Return the polar factor of X1 = X + factor·U by Newton-Schulz steps: products alone, nothing is factorised.

    With E = X1ᵀX1 − I, a step X1·(I − E/2) leaves −¾E² + ¼E³. A short training step needs no other: ‖E‖₁² <= n·eps
    while ‖factor·U‖₂ is less than (n·eps)^¼, 0.04 at n = 32 in float32. After a longer one the steps that follow
    are polynomials of the same E, hence p × p work. E = s²UᵀU is positive and t = ‖E‖₁ bounds it, so dividing X1
    by about √(1 + t/2) brings it into the basin ‖E‖₂ < 1 however long the step was. A step with t > 4 is shortened
    to t = 4, on every device alike.

    A matrix takes the steps that it needs, whatever its neighbours in the batch do. CPU in eager mode looks how many
    that is; elsewhere reading would stall, and eight are taken, which is enough for t = 4 (see the constants).

    Cost 4np² flops; 6np² where the length can't be read or is past t = 4; 6p³ for each step but the first.
    Defect <= 30·n·eps, and the defect of X doesn't enter, so nothing drifts. Second order.
    Raises: NonFiniteError on CPU in eager mode; otherwise a NaN step gives a NaN point.
    Source: Björck & Bowie 1971 (the step); Ablin & Peyré 2022 (landing: products in place of a retraction).
    """
    moved = torch.addcmul(point, tangent, factor) if isinstance(factor, Tensor) else point.add(tangent, alpha=factor)
    error = _error(moved)
    size = _norm_1(error)
    tolerance = point.shape[-2] * torch.finfo(point.dtype).eps
    is_seen = can_branch(moved)
    largest = float(size.amax()) if is_seen else None
    if largest is not None and largest**2 <= tolerance:
        return moved @ _half_step(error)
    if largest is None or not largest <= _LARGEST_ERROR:
        # The Gram matrix of a finite step past 1e19 overflows float32, to infinity or NaN: the point stays.
        shorter = (_LARGEST_ERROR / size).sqrt().clamp_max(1).nan_to_num(0.0)
        moved = torch.lerp(point, moved, shorter)
        error = _error(moved)
        size = _norm_1(error)
        if is_seen and not bool(size.isfinite().all()):
            raise NonFiniteError("step of a point", int((~moved.isfinite()).sum()), moved.numel())
    # E has eigenvalues in [−t, t] for t <= ½, in [−½, t] past it: Newton-Schulz starts from the middle of them.
    middle = ((size - _OFF_MANIFOLD) / 2).clamp_min(0)
    error = (error - middle * identity_like(error)) / (1 + middle)
    root = _half_step(error)
    for _ in range((_MOST_STEPS if is_seen else _BLIND_STEPS) - 1):
        square = error @ error
        error = (square @ error - 3 * square) / 4
        is_unfinished = _norm_1(error) > tolerance
        if is_seen and not bool(is_unfinished.any()):
            break
        error = torch.where(is_unfinished, error, 0.0)
        root = root @ _half_step(error)
    return moved @ (root * (1 + middle).rsqrt())


RETRACTIONS: dict[Retraction, Callable[..., Tensor]] = {"qr": qr, "landing": landing}


class LandingStiefel(geoopt.EuclideanStiefel):
    """geoopt's EuclideanStiefel with `landing` for its retraction; `stiefel.optim.build` knows such points by it."""

    name = "Stiefel(euclidean, landing)"

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        return landing(x, u)


def _cholesky_qr(matrix: Float[Tensor, "*b n p"]) -> tuple[Float[Tensor, "*b n p"], Int[Tensor, "*b"]]:
    """Return Q and LAPACK's verdict on the Gram matrix: 0 if it is positive definite."""
    inverse, failure = inverse_cholesky(matrix.mH @ matrix)
    return matrix @ inverse, failure


def _error(matrix: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b p p"]:
    return matrix.mH @ matrix - identity_like(matrix)


def _norm_1(error: Float[Tensor, "*b p p"]) -> Float[Tensor, "*b 1 1"]:
    # It bounds ‖E‖₂, as ‖E‖_F does; for a random UᵀU it is the smaller of the two, and it is the residual claimed.
    return norm_1(error).unsqueeze(-1).unsqueeze(-1)


def _half_step(error: Float[Tensor, "*b p p"]) -> Float[Tensor, "*b p p"]:
    return torch.sub(identity_like(error), error, alpha=0.5)
