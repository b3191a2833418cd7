"""One factory that builds the right optimiser for a model with orthonormal weights."""

from stiefel.optim.factory import build, names
from stiefel.optim.rebase import AutoRebase
from stiefel.optim.riemannian import RiemannianAdam, RiemannianSGD

__all__ = ["AutoRebase", "RiemannianAdam", "RiemannianSGD", "build", "names"]
