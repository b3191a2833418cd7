"""geoopt's Riemannian SGD and Adam: on its EuclideanStiefel, which is sound, and on its canonical default."""

from typing import Any

import geoopt
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.methods.trained import MOMENTUM, Trained, Weight

# What geoopt's own check of a point allows, `atol` of `check_point_on_manifold`.
_ATOL = 1e-5
# A step of `geoopt.Stiefel()` counts the rotation part several times over (see tests/regressions), so nothing but
# descent is asked of it.
_KINDS: dict[str, tuple[Any, float]] = {
    "geoopt Euclidean": (geoopt.EuclideanStiefel, 1.0),
    "geoopt default (canonical)": (geoopt.Stiefel, 0.0),
}
_OPTIMISERS = {"RSGD": geoopt.optim.RiemannianSGD, "RAdam": geoopt.optim.RiemannianAdam}


class Point(Weight):
    """A parameter on one of geoopt's manifolds."""

    def __init__(self, start: Float[Tensor, "n p"], manifold: Any):
        self.trained = geoopt.ManifoldParameter(
            start.clone(),
            manifold=manifold(),  # pyright: ignore[reportCallIssue]
        )

    def point(self) -> Float[Tensor, "n p"]:
        return self.trained


class Geoopt(Trained[Point]):
    """One of geoopt's optimisers on one of its Stiefel manifolds."""

    family = "geoopt"

    def __init__(self, kind: str, optimiser: str):
        super().__init__(f"{kind} + {optimiser}")
        self.manifold, self.alignment = _KINDS[kind]
        self.optimiser = optimiser

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        return _ATOL * point.shape[-1]

    def make_weight(self, start: Float[Tensor, "n p"]) -> Point:
        return Point(start, self.manifold)

    def stepper(self, weight: Point, lr: float) -> torch.optim.Optimizer:
        momentum = {"momentum": MOMENTUM} if self.optimiser == "RSGD" else {}
        return _OPTIMISERS[self.optimiser]([weight.trained], lr=lr, **momentum)

    def plain(self, weight: Point, lr: float) -> torch.optim.Optimizer:
        return geoopt.optim.RiemannianSGD([weight.trained], lr=lr)


def methods() -> list[Trained]:
    """Return both optimisers on both manifolds."""
    return [Geoopt(kind, optimiser) for kind in _KINDS for optimiser in _OPTIMISERS]
