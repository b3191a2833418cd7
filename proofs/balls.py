"""Exact values of maps, enclosed in balls of 200 bits: how far a computed point of moderate size is from them.

Needs python-flint, of the `proofs` extra.
"""

import math
from collections.abc import Callable

from jaxtyping import Inexact
from torch import Tensor

from proofs.exact import flint
from stiefel import Parameterisation
from stiefel.bounds import upwards
from stiefel.diagnose import name_of
from stiefel.distances import map_distance
from stiefel.linalg import widen

# An exponential of 256 × 256 takes 1.4 s on one core, and grows with the cube.
LARGEST = 256
_BITS = 200
_Balls = Callable[[flint.arb_mat, flint.arb_mat], flint.arb_mat]


def ball_distance(
    by: Parameterisation, free: Inexact[Tensor, "*b n p"], point: Inexact[Tensor, "*b n p"]
) -> float | None:
    """Return a bound on ‖X − map(F)‖_F, as `stiefel.distances.map_distance` does, for more maps and to all digits.

    Known for Cayley, polar, QR and the exponentials, real, up to 256 rows; otherwise what `map_distance` gives.
    """
    exact = _MAPS.get(name_of(type(by)))
    if exact is None or free.is_complex() or free.shape[-2] > LARGEST:
        return map_distance(by, free, point)
    bases, frees, points = (
        widen(tensor.detach()).cpu().reshape(-1, *free.shape[-2:]).tolist() for tensor in (by.base, free, point)
    )
    with flint.ctx.workprec(_BITS):
        found = [
            _norm(exact(flint.arb_mat(base), flint.arb_mat(step)) - flint.arb_mat(end))
            for base, step, end in zip(bases, frees, points, strict=True)
        ]
    # 200 bits are too few for a free tensor of 1e60: its balls hold everything.
    return max(found) if all(map(math.isfinite, found)) else None


def _norm(matrix: flint.arb_mat) -> float:
    # Each entry's largest modulus: the root of a ball that reaches below zero would be NaN.
    return upwards(float(sum((each.abs_upper() ** 2 for each in matrix.entries()), flint.arb(0)).sqrt().upper()))


def _rotation(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return the skew A = skew(X0ᵀF)."""
    inner = base.transpose() * free
    return (inner - inner.transpose()) / 2


def _generator(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return the skew n × n matrix W = F·X0ᵀ − X0·Fᵀ − X0·A·X0ᵀ."""
    outer = free * base.transpose()
    return outer - outer.transpose() - base * _rotation(base, free) * base.transpose()


def _moved(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return Y = X0 + U, U the tangent part of F."""
    inner = base.transpose() * free
    return base + free - base * (inner + inner.transpose()) / 2


def _cayley(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    half, eye = _generator(base, free) / 2, _identity(base.nrows())
    return (eye - half).solve((eye + half) * base)


def _exponential(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    return _generator(base, free).exp() * base


def _euclidean(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    rotation = _rotation(base, free)
    return (_generator(base, free) + base * rotation * base.transpose()).exp() * base * (rotation * -1).exp()


def _qr(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    moved = _moved(base, free)
    gram, p = (moved.transpose() * moved).tolist(), moved.ncols()
    # Cholesky's L with L·Lᵀ = YᵀY, so that X = Y·L⁻ᵀ.
    lower = [[flint.arb(0)] * p for _ in range(p)]
    for i in range(p):
        for j in range(i + 1):
            rest = gram[i][j] - sum((lower[i][k] * lower[j][k] for k in range(j)), flint.arb(0))
            lower[i][j] = rest.sqrt() if i == j else rest / lower[j][j]
    return flint.arb_mat(lower).solve(moved.transpose()).transpose()


def _polar(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return the polar factor by Newton's iteration X ← X·(I + (XᵀX)⁻¹)/2, which leaves the polar factor X* as it is.

    X = X*·H has ‖X − X*‖_F = ‖H − I‖_F <= ‖H² − I‖_F = ‖XᵀX − I‖_F, for every positive definite H.
    """
    point, eye = _moved(base, free), _identity(base.ncols())
    for _ in range(_NEWTON_STEPS):
        point = point * (eye + (point.transpose() * point).inv()) / 2
    radius = flint.arb(0, _norm(point.transpose() * point - eye))
    return point + flint.arb_mat([[radius] * point.ncols() for _ in range(point.nrows())])


def _identity(size: int) -> flint.arb_mat:
    return flint.arb_mat([[int(i == j) for j in range(size)] for i in range(size)])


# Singular values of the claimed domain are 1 to 1 + π: eight steps leave 1e-54, the ninth less than 200 bits hold.
_NEWTON_STEPS = 9
_MAPS: dict[str, _Balls] = {
    "cayley": _cayley,
    "dense_exponential": _exponential,
    "exponential": _exponential,
    "exponential_euclidean": _euclidean,
    "polar": _polar,
    "qr": _qr,
}
