"""One factory that builds the right optimiser for a model with orthonormal weights."""

from stiefel.optim.factory import build, names
from stiefel.optim.lbfgs import RiemannianLBFGS
from stiefel.optim.rebase import AutoRebase
from stiefel.optim.riemannian import RiemannianAdam, RiemannianSGD

__all__ = ["AutoRebase", "RiemannianAdam", "RiemannianLBFGS", "RiemannianSGD", "build", "names"]
