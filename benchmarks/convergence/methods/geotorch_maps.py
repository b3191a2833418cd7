"""geotorch's `orthogonal`, each of its maps, under torch's optimisers; none where geotorch isn't installed."""

from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.convergence.methods.trained import OPTIMISERS, Trained, Weight, euclidean

MAPS = ("expm", "cayley")
LARGEST = 512


class Geotorch(Weight):
    """The weight of a bias-free layer under one of geotorch's maps, which keep an n × n base."""

    def __init__(self, start: Float[Tensor, "n p"], triv: str):
        import geotorch

        n, p = start.shape
        self.layer = nn.Linear(p, n, bias=False, dtype=start.dtype)
        geotorch.orthogonal(self.layer, "weight", triv=triv)
        self.layer.weight = start
        (self.trained,) = self.layer.parameters()

    def point(self) -> Float[Tensor, "n p"]:
        return self.layer.weight


class GeotorchMap(Trained[Geotorch]):
    """One of geotorch's maps under one of torch's optimisers."""

    family = "geotorch"
    largest = LARGEST

    def __init__(self, triv: str, optimiser: str):
        super().__init__(f"geotorch {triv} + {OPTIMISERS[optimiser]}")
        self.triv, self.optimiser = triv, optimiser
        self.is_tuned, self.is_deterministic = optimiser != "lbfgs", optimiser == "lbfgs"

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        # geotorch states no bound; torch's, whose `orthogonal` is its descendant.
        return 10 * point.shape[-2] * torch.finfo(point.dtype).eps * point.shape[-1]

    def make_weight(self, start: Float[Tensor, "n p"]) -> Geotorch:
        return Geotorch(start, self.triv)

    def stepper(self, weight: Geotorch, lr: float) -> torch.optim.Optimizer:
        return euclidean(self.optimiser, weight.trained, lr)

    def plain(self, weight: Geotorch, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([weight.trained], lr=lr)


def methods() -> list[Trained]:
    """Return its maps under the three optimisers."""
    if not find_spec("geotorch"):
        return []
    return [GeotorchMap(triv, optimiser) for triv in MAPS for optimiser in OPTIMISERS]
