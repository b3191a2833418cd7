"""The Stiefel manifold St(n, p) = {X : XᵀX = I}, n >= p: residual, tangents, uniform points, geodesics."""

import math
from typing import Literal

import torch
from jaxtyping import Inexact
from torch import Tensor

from stiefel.errors import DTypeError, NonFiniteError, ShapeError
from stiefel.linalg import (
    SINGLE,
    add_product,
    identity_like,
    is_readable,
    matrix_exp,
    newton_schulz_step,
    norm_1,
    skew,
    sym,
    widen,
)

Metric = Literal["canonical", "euclidean"]
FLOATS = (torch.float32, torch.float64)
FIELDS = (*FLOATS, torch.complex64, torch.complex128)


def check(what: str, matrix: Tensor, *, dtypes: tuple[torch.dtype, ...] = FLOATS) -> None:
    """Raise one clear sentence unless `matrix` is a finite tall matrix of one of the dtypes, or a batch of them."""
    check_layout(what, matrix, dtypes=dtypes)
    if not bool(torch.isfinite(matrix.detach()).all()):
        raise NonFiniteError(what, int((~torch.isfinite(matrix)).sum()), matrix.numel())


def check_layout(what: str, matrix: Tensor, *, dtypes: tuple[torch.dtype, ...] = FLOATS) -> None:
    """Raise unless `matrix` is a tall matrix of one of the dtypes, or a batch of them; values aren't read."""
    if matrix.dtype not in dtypes:
        expected = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise DTypeError(what, expected, matrix.dtype)
    if matrix.ndim < 2 or not matrix.shape[-2] >= matrix.shape[-1] >= 1:
        cure = "transpose a wide matrix, or let stiefel.attach settle wide and tall"
        raise ShapeError(what, "(*batch, n, p) with n >= p >= 1", matrix.shape, cure=cure)


def residual(point: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b"]:
    """Return ‖XᵀX − I‖₁, computed in float64; 0 exactly on the manifold, NaN if X holds one. Cost 2np² flops."""
    wide = widen(point.detach())
    return norm_1(wide.mH @ wide - identity_like(wide))


def residual_in_eps(point: Inexact[Tensor, "*b n p"]) -> float:
    """Return the worst residual of a batch in units of n·eps of the point's dtype.

    LAPACK's own tests accept an orthogonal factor up to 30 of these units.
    """
    return float(residual(point).amax()) / (point.shape[-2] * torch.finfo(point.dtype).eps)


def tangent_projection(
    point: Inexact[Tensor, "*b n p"], ambient: Inexact[Tensor, "*b n p"]
) -> Inexact[Tensor, "*b n p"]:
    """Return U = G − X sym(XᵀG), the tangent vector at X nearest to G in the Euclidean metric.

    Cost 4np² flops, one p × p temporary. Error <= c·n·eps·‖G‖ if `point` has residual <= n·eps.

    Raises: ShapeError if n < p.
    Source: Edelman, Arias & Smith 1998, section 2.2.
    """
    check_layout("point", point, dtypes=FIELDS)
    return ambient - point @ sym(point.mH @ ambient)


def split_tangent(
    point: Inexact[Tensor, "*b n p"], ambient: Inexact[Tensor, "*b n p"]
) -> tuple[Inexact[Tensor, "*b p p"], Inexact[Tensor, "*b n p"]]:
    """Return (A, K) of the tangent projection U = X A + K of `ambient`: A skew, XᵀK = 0. Cost 4np² flops."""
    inner = point.mH @ ambient
    return skew(inner), ambient - point @ inner


def exp(
    point: Inexact[Tensor, "*b n p"], tangent: Inexact[Tensor, "*b n p"], *, metric: Metric = "canonical"
) -> Inexact[Tensor, "*b n p"]:
    """Return the end of the geodesic of unit time that leaves X with velocity U.

    Cost: 10np² flops and an exponential of size 2p; the Euclidean metric takes another of size p.
    Error c·n·eps while ‖U‖ is O(1).

    Source: Edelman, Arias & Smith 1998, equations 2.42 (canonical) and 2.22 (Euclidean).
    """
    check_layout("point", point, dtypes=FIELDS)
    rotation, normal = split_tangent(point, tangent)
    coefficients = euclidean_coefficients if metric == "euclidean" else geodesic_coefficients
    along, across = coefficients(rotation, normal.mH @ normal)
    return point @ along + normal @ across


def geodesic_coefficients(
    rotation: Inexact[Tensor, "*b p p"], gram: Inexact[Tensor, "*b p p"]
) -> tuple[Inexact[Tensor, "*b p p"], Inexact[Tensor, "*b p p"]]:
    """Return (T, N) with X·T + K·N the end of the canonical geodesic of U = X·A + K, given A and S = KᵀK.

    They are the first p columns of exp [[A, −S], [I, 0]]. Applied to [I; 0], the k-th power of that matrix has the
    blocks T_k and T_{k−1}, T_{k+1} = A·T_k − S·T_{k−1}: near the base a few terms of the series at two products of
    p × p each (3024 × 192, ‖U‖₂ = 0.5, float32: 11 terms). Far from it, scaling and squaring of the 2p × 2p matrix.
    """
    square = rotation @ rotation
    terms = _terms(square, gram)
    if terms is None:
        return _squared_coefficients(rotation, gram)
    eye = identity_like(gram)
    before, power = rotation, square - gram
    along, across = eye + rotation + power / 2, eye + rotation / 2 + power / 6
    for k in range(3, terms + 1):
        before, power = power, add_product(gram @ before, rotation, power, scale=-1)
        along = torch.add(along, power, alpha=1 / math.factorial(k))
        across = torch.add(across, power, alpha=1 / math.factorial(k + 1))
    return along, across


def _terms(square: Tensor, gram: Tensor) -> int | None:
    """Return the degree that makes the series of T and its derivative exact to rounding, None if that doesn't pay.

    Each further derivative loses a factor degree/norm of what is left out. Degree 5 at least keeps the second one's
    error below 2e-13 in float64, and below 2e-6 in float32.
    """
    if not is_readable(gram) or gram.numel() == 0:
        return None
    # T_k = X0ᵀ·Wᵏ·X0 is bounded by the powers of ‖W‖₂, at most the larger root of t² = ‖A‖·t + ‖S‖.
    turn, stretch = norm_1(square.detach()).sqrt(), norm_1(gram.detach())
    norm = float((turn + (turn**2 + 4 * stretch).sqrt()).amax()) / 2
    highest = 14 if gram.dtype in SINGLE else 19
    limit = torch.finfo(gram.dtype).eps / 4
    # Written so that NaN finds no degree.
    return next((k for k in range(5, highest + 1) if norm**k / math.factorial(k) <= limit), None)


def _squared_coefficients(rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    # The matrix is similar to [[A, −S/s], [sI, 0]], whose blocks balance for s = ‖K‖. The result doesn't depend
    # on s, so no gradient flows through it; the floor keeps K = 0 away from 0/0.
    floor = torch.finfo(gram.dtype).eps
    scale = norm_1(gram.detach()).sqrt().clamp_min(floor).unsqueeze(-1).unsqueeze(-1)
    eye = identity_like(gram).expand_as(gram)
    upper = torch.cat([rotation, -gram / scale], -1)
    lower = torch.cat([eye * scale, torch.zeros_like(gram)], -1)
    along, across = matrix_exp(torch.cat([upper, lower], -2), columns=gram.shape[-1]).split(gram.shape[-1], -2)
    return along, across / scale


def euclidean_coefficients(
    rotation: Inexact[Tensor, "*b p p"], gram: Inexact[Tensor, "*b p p"]
) -> tuple[Inexact[Tensor, "*b p p"], Inexact[Tensor, "*b p p"]]:
    """Return (α, β) with X·α + K·β the end of the Euclidean geodesic of U = X·A + K, given A and S = KᵀK.

    The canonical geodesic whose rotation runs at twice its speed, turned back on the right by exp(−A).
    Source: Zimmermann & Hüper 2022, theorem 1.
    """
    along, across = geodesic_coefficients(2 * rotation, gram)
    back = matrix_exp(-rotation)
    return along @ back, across @ back


def dense_exp(point: Inexact[Tensor, "*b n p"], tangent: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
    """Return exp(W)·X with the n × n skew W = X A Xᵀ + K Xᵀ − X Kᵀ: the canonical geodesic written out in full.

    Cost about eight products of 2n³ flops or more: the oracle of `exp`.
    """
    rotation, normal = split_tangent(point, tangent)
    # With B = (K + X A/2)·Xᵀ this is B − Bᵀ, skew to the last bit.
    half = (normal + point @ rotation / 2) @ point.mH
    return matrix_exp(half - half.mH) @ point


def random_point(
    *shape: int,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Inexact[Tensor, "*b n p"]:
    """Return a point drawn uniformly (Haar measure) from St(n, p), `shape` = (*batch, n, p).

    Raises: ShapeError if n < p; DTypeError unless `dtype` is one of single or double precision.
    Source: the polar factor of a Gaussian matrix is uniform (Chikuse 2003, theorem 2.2.1).
    """
    gaussian = torch.randn(*shape, generator=generator, dtype=dtype, device=device)
    check_layout("random point", gaussian, dtypes=FIELDS)
    return nearest_point(gaussian)


def nearest_point(
    ambient: Inexact[Tensor, "*b n p"], *, determinant: Literal[1, -1] | None = None
) -> Inexact[Tensor, "*b n p"]:
    """Return the point of St(n, p) nearest to `ambient` in the Frobenius norm: its polar factor.

    `determinant` asks for the nearest one of that component, 1 for rotations and −1 for reflections; n = p only.

    Computed in float64 and rounded once, so the residual is that of rounding. Not differentiable; a matrix of
    deficient rank has several nearest points, and gets one of them.

    Cost: a QR of n × p and an SVD of p × p.
    Raises: ShapeError, DTypeError, NonFiniteError.
    """
    check("matrix", ambient, dtypes=FIELDS)
    q, r = torch.linalg.qr(widen(ambient.detach()))
    left, _, right = torch.linalg.svd(r)
    if determinant is not None:
        if ambient.is_complex():
            raise DTypeError("matrix", "real to have a determinant of 1 or −1", ambient.dtype)
        if ambient.shape[-2] != ambient.shape[-1]:
            raise ShapeError("matrix", "n × n to have a determinant", ambient.shape, cure="leave determinant out")
        sign = torch.linalg.det(q) * torch.linalg.det(left) * torch.linalg.det(right)
        # Turning the direction of the least singular value over is the cheapest way to the other component.
        left[..., -1] *= (sign.sign() * determinant).unsqueeze(-1)
    return newton_schulz_step(q @ (left @ right)).to(ambient.dtype).contiguous()
