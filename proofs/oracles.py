"""Slow, dense, obviously right twins of the registered maps, in float64.

Each takes the placed map (for its base buffer) and a float64 free tensor. None shares code with `stiefel`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from stiefel import Parameterisation
from stiefel.parameterisations import REGISTRY

Oracle = Callable[[Parameterisation, Tensor], Tensor]


# Where n = p these are X0·g(A), A = skew(X0ᵀF), with g(−A) = g(A)ᵀ. So is every geodesic, but not the Q factor of
# I + A: its R is the same for −A, and (I − A)·R⁻¹ isn't R⁻ᵀ·(I − A) from p = 3 on.
INVERSE_SYMMETRIC = frozenset({"cayley", "dense_exponential", "exponential", "exponential_euclidean", "polar"})


def original(by: type[Parameterisation]) -> str | None:
    """Return the name of a registered map, or of the registered map that `by` derives from; else `None`."""
    references = [f"{each.__module__}:{each.__qualname__}" for each in by.__mro__]
    names = {reference: name for name, reference in REGISTRY.items()}
    return next((names[reference] for reference in references if reference in names), None)


def oracle_of(by: type[Parameterisation]) -> Oracle | None:
    """Return the oracle of a registered map, or of the registered map that `by` derives from; else `None`."""
    name = original(by)
    return None if name is None else ORACLES.get(name)


def geodesic(metric: str, point: Float[Tensor, "*b n p"], tangent: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the end of the unit-time geodesic, by exponentials of skew matrices alone. Cost O(n³).

    Source: Zimmermann & Hüper 2022, theorem 1, with α = −½ (Euclidean: the rotation part runs at twice its speed
    and is turned back on the right) and α = 0 (canonical).
    """
    if metric == "canonical":
        return _exp_of_skew(_generator(point, tangent)) @ point
    rotation = _skew(point.mT @ tangent)
    return _exp_of_skew(_generator(point, tangent + point @ rotation)) @ point @ _exp_of_skew(-rotation)


def tangent_part(point: Float[Tensor, "*b n p"], ambient: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the tangent vector at `point` nearest to `ambient`: both are float64."""
    inner = point.mT @ ambient
    return ambient - point @ (inner + inner.mT) / 2


def _skew(matrix: Tensor) -> Tensor:
    return (matrix - matrix.mT) / 2


def _generator(point: Tensor, ambient: Tensor) -> Tensor:
    """Return the n × n skew W = X A Xᵀ + K Xᵀ − X Kᵀ."""
    inner = point.mT @ ambient
    normal = ambient - point @ inner
    return point @ _skew(inner) @ point.mT + normal @ point.mT - point @ normal.mT


def _exp_of_skew(matrix: Tensor) -> Tensor:
    # i·W is Hermitian, so its eigenvectors are orthonormal and exp(W) = V·diag(exp(−iλ))·Vᴴ to rounding: no
    # Taylor, no Padé, no squaring, nothing in common with what it judges.
    values, vectors = torch.linalg.eigh(1j * matrix)
    return ((vectors * torch.exp(-1j * values).unsqueeze(-2)) @ vectors.mH).real


def _base(placed: Parameterisation) -> Tensor:
    return placed.base.double()


def _exponential(placed: Parameterisation, free: Tensor) -> Tensor:
    return geodesic("canonical", _base(placed), free)


def _exponential_euclidean(placed: Parameterisation, free: Tensor) -> Tensor:
    return geodesic("euclidean", _base(placed), tangent_part(_base(placed), free))


def _cayley(placed: Parameterisation, free: Tensor) -> Tensor:
    half = _generator(_base(placed), free) / 2
    eye = torch.eye(half.shape[-1], dtype=half.dtype)
    return torch.linalg.solve(eye - half, eye + half) @ _base(placed)


def _polar(placed: Parameterisation, free: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(_base(placed) + tangent_part(_base(placed), free), full_matrices=False)
    return left @ right


def _qr(placed: Parameterisation, free: Tensor) -> Tensor:
    q, r = torch.linalg.qr(_base(placed) + tangent_part(_base(placed), free))
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def _householder(placed: Parameterisation, free: Tensor) -> Tensor:
    packed = _base(placed) + free
    n, p = packed.shape[-2:]
    eye = torch.eye(n, dtype=packed.dtype)
    result = eye[:, :p].expand(packed.shape)
    for column in reversed(range(p)):
        vector = torch.cat(
            [eye[: column + 1, column].expand(*packed.shape[:-2], -1), packed[..., column + 1 :, column]], -1
        )
        vector = vector.unsqueeze(-1)
        result = result - 2 * vector @ (vector.mT @ result) / (vector.mT @ vector)
    return result * _base(placed).diagonal(dim1=-2, dim2=-1).unsqueeze(-2)


def _givens(placed: Parameterisation, free: Tensor) -> Tensor:
    angles = _base(placed) + free
    n, p = angles.shape[-2:]
    result = torch.eye(n, dtype=angles.dtype)[:, :p].repeat(*angles.shape[:-2], 1, 1)
    # X = G_(n,1)…G_(2,1)·G_(n,2)…·E: one angle at a time, from the right.
    for column in reversed(range(p)):
        for row in range(column + 1, n):
            angle = angles[..., row, column].unsqueeze(-1)
            upper, lower = result[..., row - 1, :].clone(), result[..., row, :].clone()
            result[..., row - 1, :] = angle.cos() * upper - angle.sin() * lower
            result[..., row, :] = angle.sin() * upper + angle.cos() * lower
    return result * _base(placed).diagonal(dim1=-2, dim2=-1).unsqueeze(-2)


def _point_itself(placed: Parameterisation, free: Tensor) -> Tensor:
    return free


ORACLES: dict[str, Oracle] = {
    "cayley": _cayley,
    "dense_exponential": _exponential,
    "exponential": _exponential,
    "exponential_euclidean": _exponential_euclidean,
    "givens": _givens,
    "householder": _householder,
    "landing": _point_itself,
    "polar": _polar,
    "qr": _qr,
    "riemannian": _point_itself,
}
