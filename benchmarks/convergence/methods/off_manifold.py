"""What people do without a manifold: a penalty on XᵀX − I, or nothing at all, and a projection at the very end."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.convergence.methods.trained import OPTIMISERS, Trained, Weight, euclidean
from stiefel.linalg import identity_like

# Of ¼·PENALTY·‖XᵀX − I‖²: the loss has a curvature of about 1, so the constraint counts as much as all the rest.
PENALTY = 1.0


class Plain(Weight):
    """An ordinary parameter."""

    def __init__(self, start: Float[Tensor, "n p"], penalty: float):
        self.trained = nn.Parameter(start.clone())
        self._penalty = penalty

    def point(self) -> Float[Tensor, "n p"]:
        return self.trained

    def penalty(self, point: Float[Tensor, "n p"]) -> tuple[float, Tensor] | None:
        if not self._penalty:
            return None
        error = point.mT @ point - identity_like(point)
        return self._penalty * float(error.square().sum()) / 4, self._penalty * point @ error


class OffManifold(Trained[Plain]):
    """An ordinary parameter under torch's optimisers; what is judged is the polar factor, as for every method."""

    family = "none"

    def __init__(self, name: str, penalty: float, optimiser: str):
        super().__init__(f"{name} + {OPTIMISERS[optimiser]}")
        self.penalty, self.optimiser = penalty, optimiser
        self.is_tuned, self.is_deterministic = optimiser != "lbfgs", optimiser == "lbfgs"

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        return math.inf

    def make_weight(self, start: Float[Tensor, "n p"]) -> Plain:
        return Plain(start, self.penalty)

    def stepper(self, weight: Plain, lr: float) -> torch.optim.Optimizer:
        return euclidean(self.optimiser, weight.trained, lr)

    def plain(self, weight: Plain, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([weight.trained], lr=lr)


def methods() -> list[Trained]:
    """Return the penalty and the plain parameter under the three optimisers."""
    kinds = {"soft penalty": PENALTY, "unconstrained, final polar": 0.0}
    return [OffManifold(name, penalty, optimiser) for name, penalty in kinds.items() for optimiser in OPTIMISERS]
