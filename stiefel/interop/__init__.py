"""Our problems under pymanopt's deterministic solvers: conjugate gradients, steepest descent, trust regions."""

from stiefel.interop.solve import Minimum, minimise, minimise_module, solvers

__all__ = ["Minimum", "minimise", "minimise_module", "solvers"]
