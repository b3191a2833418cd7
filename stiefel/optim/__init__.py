"""One factory that builds the right optimiser for a model with orthonormal weights."""

from stiefel.optim.factory import build, names

__all__ = ["build", "names"]
