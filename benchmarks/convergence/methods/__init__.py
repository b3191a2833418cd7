"""THE REGISTRY of methods: one line for each file, whose `methods()` returns what it offers."""

from functools import cache
from importlib import import_module

from benchmarks.convergence.method import Method
from stiefel.errors import UnknownNameError

FILES: tuple[str, ...] = (
    "ours",
    "geoopt_points",
    "geotorch_maps",
    "torch_orthogonal",
    "off_manifold",
    "pymanopt_solvers",
)


@cache
def registered() -> dict[str, Method]:
    """Return every method by its name."""
    found = [method for file in FILES for method in import_module(f"{__name__}.{file}").methods()]
    return {method.name: method for method in found}


def get(name: str) -> Method:
    """Return the method called `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in registered():
        raise UnknownNameError("method", name, registered())
    return registered()[name]
