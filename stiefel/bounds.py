"""Rigorous bounds on XᵀX − I for the very floats of X: leading products without rounding, the rest bounded.

`docs/certificates.md` derives every constant here. What is assumed of the machine: float64 sums and products round to
nearest with gradual underflow, and BLAS adds the products of a dot product in some order, fused or not.
"""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import torch
from jaxtyping import Float, Inexact, Int
from torch import Tensor

from stiefel.errors import NonFiniteError, StiefelError
from stiefel.linalg import widen

UNIT = 2.0**-53
SUBNORMAL = 2.0**-1074
# Below the largest entry XᵀX and the squares of its entries are finite; above the finest grid no product underflows.
LARGEST = 2.0**200
_LEAST_EXPONENT = -400
# Pays for the few roundings of a scalar formula.
_SCALARS = 2.0**-45


class OutOfRangeError(StiefelError):
    """A matrix whose entries are too large for XᵀX to be bounded in float64."""

    def __init__(self, largest: float):
        self.largest = largest
        super().__init__(f"entries must be below 2^200 to be certified, got {largest:.3g}; scale the matrix down")


@dataclass(frozen=True)
class Enclosure:
    """A symmetric p × p matrix E, known entry by entry: |E − centre| <= radius."""

    centre: Float[np.ndarray, "p p"]
    radius: Float[np.ndarray, "p p"]


@dataclass(frozen=True)
class Bounds:
    """Upper bounds on the norms ‖E‖_F, ‖E‖₂ and ‖E‖₁ and on the largest |E_ij| of E = XᵀX − I."""

    frobenius: float
    spectral: float
    one: float
    entry: float


Enclose = Callable[[Float[np.ndarray, "n p"]], Enclosure]


def enclose_defect(matrix: Float[np.ndarray, "n p"]) -> Enclosure:
    """Return an enclosure of XᵀX − I by Ozaki's splitting, for a float64 matrix with entries below 2^200.

    X = S + T + R, S and T on grids so coarse that every partial sum of SᵀS, SᵀT and TᵀT is a float64: these products
    are exact whatever the order of summation. Only (S + T)ᵀR rounds, and R is about 2^-53·n times X.

    Cost 8np² flops in float64 BLAS, 6np² where R = 0.
    Source: Ozaki, Ogita, Oishi & Rump 2012.
    """
    exponents = np.maximum(np.frexp(np.abs(matrix).max(axis=0))[1], _LEAST_EXPONENT)
    bits = slice_bits(len(matrix))
    first = _on_grid(matrix, exponents - bits)
    second = _on_grid(matrix - first, exponents - 2 * bits)
    tail = matrix - first - second
    cross = first.T @ second
    terms = [first.T @ first, cross, cross.T, second.T @ second]
    radius = np.zeros_like(cross)
    if tail.any():
        rounded, radius = _tail_product(first + second, tail)
        terms += [rounded, rounded.T]
    centre = -np.eye(len(cross))
    for term in terms:
        centre, error = _two_sum(centre, term)
        radius = radius + np.abs(error)
    # Twice what is derived: this pays for the roundings of the radius itself, whose terms are all >= 0.
    return Enclosure(centre, 2 * radius)


def slice_bits(n: int) -> int:
    """Return b with n·2^b·2^b <= 2^53: dot products of n pairs of integers up to 2^b are exact in float64."""
    return (53 - (n - 1).bit_length()) // 2


def defect_bounds(point: Inexact[Tensor, "*b n p"], *, enclose: Enclose = enclose_defect) -> Bounds:
    """Return bounds on XᵀX − I for the floats of X as they are, whatever their dtype; of a batch, the largest.

    Cost of each matrix: its enclosure and an eigendecomposition of p × p; of a complex one, of twice the size.
    Raises: NonFiniteError, OutOfRangeError.
    """
    wide = widen(point.detach()).cpu()
    if not bool(wide.isfinite().all()):
        raise NonFiniteError("a matrix to certify", int((~wide.isfinite()).sum()), wide.numel())
    if (largest := float(wide.abs().max())) >= LARGEST:
        raise OutOfRangeError(largest)
    real = as_real(wide)
    each = [norms(enclose(matrix)) for matrix in real.reshape(-1, *real.shape[-2:]).numpy()]
    found = Bounds(*(max(values) for values in zip(*map(astuple, each), strict=True)))
    if not wide.is_complex():
        return found
    # E as a real matrix has √2 times the Frobenius norm, and real and imaginary parts in entries of their own.
    root = math.sqrt(2)
    return Bounds(upwards(found.frobenius / root), found.spectral, found.one, upwards(found.entry * root))


def norms(enclosure: Enclosure) -> Bounds:
    """Return bounds on the norms of every matrix in the enclosure. Cost one eigendecomposition, O(p³)."""
    magnitude = np.abs(enclosure.centre) + enclosure.radius
    magnitude = np.where(enclosure.radius > 0, np.nextafter(magnitude, np.inf), magnitude)
    frobenius = float(norm(magnitude))
    spectral = upwards(_spectral(enclosure.centre) + float(norm(enclosure.radius)))
    one = upwards(float(magnitude.sum(axis=0).max()) * (1 + 2 * len(magnitude) * UNIT))
    # In this order a NaN of the eigendecomposition leaves the Frobenius norm.
    return Bounds(frobenius, min(frobenius, spectral), one, float(magnitude.max()))


def norm(matrix: Float[np.ndarray, "..."], axis: int | None = None) -> Float[np.ndarray, "..."]:
    """Return the Euclidean norms along an axis, of all entries without one, rounded upwards; 0 is kept."""
    # Scaled by a power of two, so that no square that matters underflows.
    scale = np.ldexp(1.0, np.frexp(np.abs(matrix).max(axis=axis, keepdims=True))[1] - 1)
    count = matrix.size if axis is None else matrix.shape[axis]
    total = np.sqrt(np.square(matrix / scale).sum(axis=axis)) * (1 + (count + 16) * UNIT)
    result = total * scale.reshape(total.shape)
    return np.where(result > 0, np.nextafter(result, np.inf), result)


def dot_error(n: int) -> float:
    """Return γ with |fl(xᵀy) − xᵀy| <= γ·|x|ᵀ|y| for n entries in any order of summation, fused or not.

    Source: Higham 2002, section 3.1.
    """
    return n * UNIT / (1 - n * UNIT) * (1 + 4 * UNIT)


def upwards(value: float) -> float:
    """Return a value that is larger by more than a dozen roundings cost; 0 stays 0."""
    return math.nextafter(value * (1 + _SCALARS), math.inf) if value else 0.0


def as_real(matrix: Inexact[Tensor, "*b n p"]) -> Float[Tensor, "*b m q"]:
    """Return [[A, −B], [B, A]] for A + iB: the same spectral norm, column sums no smaller, and products to match.

    A real matrix is returned as it is.
    """
    if not matrix.is_complex():
        return matrix
    real, imaginary = matrix.real, matrix.imag
    return torch.cat([torch.cat([real, -imaginary], -1), torch.cat([imaginary, real], -1)], -2)


def _on_grid(matrix: Float[np.ndarray, "n p"], exponents: Int[np.ndarray, "p"]) -> Float[np.ndarray, "n p"]:
    """Return each column rounded to multiples of 2^exponent; exact but for that, as is what is left over."""
    return np.ldexp(np.rint(np.ldexp(matrix, -exponents)), exponents)


def _tail_product(
    lead: Float[np.ndarray, "n p"], tail: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, "p p"]]:
    """Return fl(LᵀR) and a bound on |LᵀR + RᵀL + RᵀR − fl(LᵀR) − fl(LᵀR)ᵀ|, entry by entry."""
    n = len(lead)
    left, right = norm(lead, axis=0), norm(tail, axis=0)
    rounding = dot_error(n) * np.outer(left, right)
    return lead.T @ tail, rounding + rounding.T + np.outer(right, right) + 4 * n * SUBNORMAL


def _two_sum(a: Float[np.ndarray, "p p"], b: Float[np.ndarray, "p p"]) -> tuple[np.ndarray, np.ndarray]:
    """Return fl(a + b) and its error, exactly. Source: Knuth 1969, section 4.2.2."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _spectral(matrix: Float[np.ndarray, "p p"]) -> float:
    """Return a bound on ‖M‖₂ of a symmetric M: its largest |λ|, and what M = VΛVᵀ and VᵀV = I lack of the truth.

    ‖M‖₂ <= ‖V‖₂²·max|λ| + ‖M − VΛVᵀ‖_F and ‖V‖₂² <= 1 + ‖VᵀV − I‖_F hold for any V and λ whatever.
    """
    largest = float(np.abs(matrix).max())
    if largest == 0:
        return 0.0
    scale = math.ldexp(1.0, math.frexp(largest)[1])
    try:
        values, vectors = np.linalg.eigh(matrix / scale)
    except np.linalg.LinAlgError:
        return float(norm(matrix))
    gamma, weighted, size = dot_error(len(matrix) + 2), vectors * values, float(norm(vectors))
    missing = float(norm(matrix / scale - weighted @ vectors.T)) + gamma * float(norm(weighted)) * size
    excess = float(norm(vectors.T @ vectors - np.eye(len(matrix)))) + gamma * size**2
    return upwards(scale * ((1 + 2 * excess) * float(np.abs(values).max()) + 2 * missing))
