"""Stiefel parameterisations, swapped by a flag: weights whose columns (or rows) stay orthonormal."""

from stiefel import manifold, optim
from stiefel.attach import adapter, attach, detach, rebase
from stiefel.base import Claims, Parameterisation, Trivialisation
from stiefel.compact import CompactTrivialisation
from stiefel.errors import StiefelError
from stiefel.manifold import nearest_point, random_point, residual, residual_in_eps
from stiefel.registry import describe, get, names

__all__ = [
    "Claims",
    "CompactTrivialisation",
    "Parameterisation",
    "StiefelError",
    "Trivialisation",
    "adapter",
    "attach",
    "describe",
    "detach",
    "get",
    "manifold",
    "names",
    "nearest_point",
    "optim",
    "random_point",
    "rebase",
    "residual",
    "residual_in_eps",
]
