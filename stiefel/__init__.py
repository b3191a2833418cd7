"""Stiefel parameterisations, swapped by a flag: weights whose columns (or rows) stay orthonormal."""

from stiefel import geodesics, interop, manifold, optim
from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.attach import adapter, attach, cached, detach, rebase
from stiefel.base import Claims, Parameterisation, Trivialisation
from stiefel.compact import CompactTrivialisation
from stiefel.diagnose import Diagnosis, StoredMatrix, diagnose, drift, inspect_state_dict
from stiefel.errors import StiefelError
from stiefel.manifold import nearest_point, random_point, residual, residual_in_eps
from stiefel.registry import describe, get, names

__all__ = [
    "Claims",
    "CompactTrivialisation",
    "Diagnosis",
    "Evaluation",
    "HandDifferentiated",
    "Parameterisation",
    "StiefelError",
    "StoredMatrix",
    "Trivialisation",
    "adapter",
    "attach",
    "cached",
    "describe",
    "detach",
    "diagnose",
    "drift",
    "geodesics",
    "get",
    "inspect_state_dict",
    "interop",
    "manifold",
    "names",
    "nearest_point",
    "optim",
    "random_point",
    "rebase",
    "residual",
    "residual_in_eps",
]
