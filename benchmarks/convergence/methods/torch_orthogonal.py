"""torch's `parametrizations.orthogonal`, each of its three maps, under torch's optimisers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.convergence.methods.trained import OPTIMISERS, Trained, Weight, euclidean

MAPS = ("matrix_exp", "cayley", "householder")
# matrix_exp and cayley hold n × n matrices, and householder's backward pass does: at 2000 × 50 a step takes seconds.
LARGEST = 512


class Orthogonal(Weight):
    """The weight of a bias-free layer under one of torch's maps."""

    def __init__(self, start: Float[Tensor, "n p"], orthogonal_map: str):
        n, p = start.shape
        self.layer = nn.Linear(p, n, bias=False, dtype=start.dtype)
        parametrizations.orthogonal(self.layer, "weight", orthogonal_map=orthogonal_map)
        self.layer.weight = start
        (self.trained,) = self.layer.parameters()

    def point(self) -> Float[Tensor, "n p"]:
        return self.layer.weight


class TorchOrthogonal(Trained[Orthogonal]):
    """One of torch's maps under one of its optimisers."""

    family = "torch"
    largest = LARGEST

    def __init__(self, orthogonal_map: str, optimiser: str):
        super().__init__(f"torch {orthogonal_map} + {OPTIMISERS[optimiser]}")
        self.map, self.optimiser = orthogonal_map, optimiser
        self.is_tuned, self.is_deterministic = optimiser != "lbfgs", optimiser == "lbfgs"

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        # The tolerance of torch's own `_is_orthogonal`, 10·n·eps an entry.
        return 10 * point.shape[-2] * torch.finfo(point.dtype).eps * point.shape[-1]

    def make_weight(self, start: Float[Tensor, "n p"]) -> Orthogonal:
        return Orthogonal(start, self.map)

    def stepper(self, weight: Orthogonal, lr: float) -> torch.optim.Optimizer:
        return euclidean(self.optimiser, weight.trained, lr)

    def plain(self, weight: Orthogonal, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([weight.trained], lr=lr)


def methods() -> list[Trained]:
    """Return the three maps under the three optimisers."""
    return [TorchOrthogonal(each, optimiser) for each in MAPS for optimiser in OPTIMISERS]
