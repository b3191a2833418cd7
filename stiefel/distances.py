"""How far a computed point is from the exact value of its map: rigorous bounds in float64.

`docs/certificates.md` has the theorem behind each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from stiefel.base import Parameterisation
from stiefel.bounds import LARGEST, SUBNORMAL, UNIT, as_real, dot_error, norm, upwards
from stiefel.linalg import widen
from stiefel.parameterisations.cayley import Cayley
from stiefel.parameterisations.householder import Householder
from stiefel.points import PointParameterisation

Distance = Callable[[Parameterisation, Tensor, Tensor], float | None]


def map_distance(
    by: Parameterisation, free: Inexact[Tensor, "*b n p"], point: Inexact[Tensor, "*b n p"]
) -> float | None:
    """Return a bound on ‖X − map(F)‖_F, the map evaluated exactly at the floats of F and of its base.

    Known for Cayley, Householder and maps whose parameter is the point; None for others. Of a batch, the largest.
    Cost of Cayley: 12np² flops; of Householder 4np² in p steps. In float32 the bound is within a few per cent; in
    float64, where its own roundings count, it is 2e-12 for either at 64 × 16, and 1e-8 and 3e-9 at 3024 × 192, for
    distances of 1e-14 (`proofs.balls` is exact to all digits).
    """
    residual = _itself if isinstance(by, PointParameterisation) else _RESIDUALS.get(type(by))
    if residual is None:
        return None
    real = [as_real(widen(tensor.detach()).cpu()) for tensor in (by.base, free, point)]
    matrices = (tensor.reshape(-1, *tensor.shape[-2:]).numpy() for tensor in real)
    return largest([residual(*each).norm() for each in zip(*matrices, strict=True)], is_complex=free.is_complex())


def largest(norms: Sequence[float], *, is_complex: bool) -> float | None:
    """Return the largest Frobenius norm, or None where one isn't finite.

    A complex matrix as a real one has √2 times its norm.
    """
    if not all(map(math.isfinite, norms)):
        return None
    return upwards(max(norms) / math.sqrt(2)) if is_complex else max(norms)


@dataclass(frozen=True)
class _Ball:
    """The matrices within `radius` of `centre` in the Frobenius norm: a result holds that of every choice."""

    centre: Float[np.ndarray, "m k"]
    radius: float = 0.0

    @property
    def T(self) -> "_Ball":
        return _Ball(self.centre.T, self.radius)

    def norm(self) -> float:
        return upwards(float(norm(self.centre)) + self.radius)

    def half(self) -> "_Ball":
        return _Ball(self.centre / 2, upwards(self.radius / 2) + self.centre.size * SUBNORMAL)

    def __matmul__(self, other: "_Ball") -> "_Ball":
        product, inner = self.centre @ other.centre, self.centre.shape[1]
        rounding = dot_error(inner) * float(norm(self.centre)) * float(norm(other.centre))
        spread = self.radius * other.norm() + float(norm(self.centre)) * other.radius
        return _Ball(product, upwards(rounding + spread + inner * product.size * SUBNORMAL))

    def __add__(self, other: "_Ball") -> "_Ball":
        total = self.centre + other.centre
        return _Ball(total, upwards(self.radius + other.radius + UNIT * float(norm(total))))

    def __sub__(self, other: "_Ball") -> "_Ball":
        return self + _Ball(-other.centre, other.radius)


_Matrix = Float[np.ndarray, "n p"]


def _cayley(base: _Matrix, free: _Matrix, point: _Matrix) -> _Ball:
    """Return (I − W/2)·X − (I + W/2)·X0 with the skew W = F·X0ᵀ − X0·Fᵀ − X0·A·X0ᵀ, A = skew(X0ᵀF).

    X* = (I − W/2)⁻¹(I + W/2)·X0 makes it 0, and ‖(I − W/2)⁻¹‖₂ <= 1 for any skew W: its norm bounds ‖X − X*‖.
    """
    start, step, end = _Ball(base), _Ball(free), _Ball(point)
    both = start + end
    inner, across = start.T @ step, start.T @ both
    turned = step @ across - start @ (step.T @ both + (inner - inner.T).half() @ across)
    return end - start - turned.half()


def _householder(base: _Matrix, free: _Matrix, point: _Matrix) -> _Ball:
    """Return X − H₁…H_p·E·D, the reflectors applied one after another, the last one first.

    A reflector is an isometry: what the state was off by before it is as large after it, so errors add up and no
    condition number comes in. One of m rows rounds by 4γ_(m+3) of the state's norm, which is ‖D‖ throughout.
    """
    vectors, signs = np.tril(base + free, -1) + np.eye(*base.shape), np.diagonal(base)
    if not np.abs(vectors).max() < LARGEST:  # their squares might overflow
        return _Ball(point, math.inf)
    # torch adds an outer product in one pass: 3024 × 192 takes 0.1 s, with numpy 1.6 s.
    state, size, radius = torch.from_numpy(np.eye(*base.shape) * signs), float(norm(signs)), 0.0
    for column in reversed(range(len(signs))):
        vector, rows = torch.from_numpy(vectors[column:, column].copy()), state[column:]
        rows.addr_(vector, (vector @ rows) * (-2 / (vector @ vector)))
        rounding = 4 * dot_error(len(vector) + 3) * (size + radius)
        radius = upwards(radius + rounding + 4 * rows.numel() * SUBNORMAL * (1 + float(vector.norm())))
    return _Ball(point) - _Ball(state.numpy(), radius)


def _itself(base: _Matrix, free: _Matrix, point: _Matrix) -> _Ball:
    return _Ball(point) - _Ball(free)


_RESIDUALS = {Cayley: _cayley, Householder: _householder}
