"""Exact values of maps, enclosed in balls of 200 bits: how far a computed point of moderate size is from them.

Needs python-flint, of the `proofs` extra.
"""

from collections.abc import Callable

from jaxtyping import Inexact
from torch import Tensor

from proofs.exact import flint
from stiefel import Parameterisation
from stiefel.bounds import as_real, upwards
from stiefel.diagnose import name_of
from stiefel.distances import largest, map_distance
from stiefel.linalg import widen

# An exponential of 256 × 256 takes 1.4 s on one core, and grows with the cube.
LARGEST = 256
_BITS = 200
_Balls = Callable[[flint.arb_mat, flint.arb_mat], flint.arb_mat]


def ball_distance(
    by: Parameterisation, free: Inexact[Tensor, "*b n p"], point: Inexact[Tensor, "*b n p"]
) -> float | None:
    """Return a bound on ‖X − map(F)‖_F, as `stiefel.distances.map_distance` does, for more maps and to all digits.

    Known for every real map up to 256 rows, for complex ones but QR up to 128; otherwise what `map_distance` gives.
    """
    exact, real = _MAPS.get(name_of(type(by))), [as_real(widen(each.detach()).cpu()) for each in (by.base, free, point)]
    # The triangular factor of the real twin, of twice the size, isn't that of the complex matrix.
    is_another = exact is _qr and free.is_complex()
    if exact is None or is_another or real[0].shape[-2] > LARGEST:
        return map_distance(by, free, point)
    bases, frees, points = (tensor.reshape(-1, *tensor.shape[-2:]).tolist() for tensor in real)
    with flint.ctx.workprec(_BITS):
        found = [
            _norm(exact(flint.arb_mat(base), flint.arb_mat(step)) - flint.arb_mat(end))
            for base, step, end in zip(bases, frees, points, strict=True)
        ]
    # 200 bits are too few for a free tensor of 1e60: its balls hold everything, and `largest` gives None.
    return largest(found, is_complex=free.is_complex())


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


def _householder(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return (E − V·T⁻¹·V_topᵀ)·D by the compact form, T = striu(VᵀV) + ½diag(VᵀV)."""
    packed, n, p = (base + free).tolist(), base.nrows(), base.ncols()
    lower = [[packed[i][j] if i > j else flint.arb(i == j) for j in range(p)] for i in range(n)]
    vectors, gram = flint.arb_mat(lower), (flint.arb_mat(lower).transpose() * flint.arb_mat(lower)).tolist()
    factor = flint.arb_mat([[gram[i][j] / (1 + (i == j)) if i <= j else 0 for j in range(p)] for i in range(p)])
    turned = (vectors * factor.solve(flint.arb_mat(lower[:p]).transpose())).tolist()
    return flint.arb_mat([[((i == j) - turned[i][j]) * base[j, j] for j in range(p)] for i in range(n)])


def _givens(base: flint.arb_mat, free: flint.arb_mat) -> flint.arb_mat:
    """Return the product of the rotations, one angle at a time, from the right, times E·D."""
    n, p, angles = base.nrows(), base.ncols(), base + free
    # A rotation widens the balls by |cos| + |sin| <= √2, and an entry meets n + p of them: half a bit each.
    with flint.ctx.workprec(_BITS + (n + p) // 2):
        rows = [flint.arb_mat([[base[j, j] if i == j else 0 for j in range(p)]]) for i in range(n)]
        for column in reversed(range(p)):
            for row in range(column + 1, n):
                sin, cos = angles[row, column].sin_cos()
                upper, lower = rows[row - 1], rows[row]
                rows[row - 1], rows[row] = upper * cos - lower * sin, upper * sin + lower * cos
        return flint.arb_mat([row.entries() for row in rows])


def _identity(size: int) -> flint.arb_mat:
    return flint.arb_mat([[int(i == j) for j in range(size)] for i in range(size)])


# Singular values of the claimed domain are 1 to 1 + π: eight steps leave 1e-54, the ninth less than 200 bits hold.
_NEWTON_STEPS = 9
_MAPS: dict[str, _Balls] = {
    "cayley": _cayley,
    "dense_exponential": _exponential,
    "exponential": _exponential,
    "exponential_euclidean": _euclidean,
    "givens": _givens,
    "householder": _householder,
    "polar": _polar,
    "qr": _qr,
}
