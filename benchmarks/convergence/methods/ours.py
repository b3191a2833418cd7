"""Every registered parameterisation under SGD, Adam and L-BFGS: a new map is here unasked."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

import stiefel
from benchmarks.convergence.methods.trained import HISTORY, MOMENTUM, OPTIMISERS, Trained, Weight, euclidean
from stiefel.attach import free_tensors
from stiefel.optim import AutoRebase, RiemannianLBFGS

# A direction in a map's coordinates is the gradient in the metric that they pull back. Around its base a retraction
# of the Euclidean metric has that metric, one of the canonical metric weights rotations by ½, and coordinates that
# aren't a retraction's have another at every point.
_ALIGNMENT = {"euclidean": 1.0, "canonical": math.sqrt(8) / 3}


# The paper's dense exponential: a step at 2000 × 50 takes seconds.
LARGEST = {"dense_exponential": 512}


class Attached(Weight):
    """The weight of a bias-free layer that `stiefel.attach` holds, its base at the start."""

    def __init__(self, start: Float[Tensor, "n p"], by: str):
        n, p = start.shape
        self.layer = nn.Linear(p, n, bias=False, dtype=start.dtype)
        self.layer.weight.data.copy_(start)
        stiefel.attach(self.layer, by=by)
        (self.trained,) = free_tensors(self.layer)
        self._rebase: AutoRebase | None = None

    def rebased_with(self, optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Keep the free tensor inside its map's domain from now on, the optimiser's state included."""
        self._rebase = AutoRebase(self.layer, optimiser)
        return optimiser

    def point(self) -> Float[Tensor, "n p"]:
        return self.layer.weight

    def after_step(self) -> None:
        if self._rebase is not None:
            self._rebase.after_step()


class Ours(Trained[Attached]):
    """A registered map under one of the three optimisers; a map of points has their Riemannian twins."""

    family = "stiefel"

    def __init__(self, by: str, optimiser: str):
        super().__init__(f"{by} + {OPTIMISERS[optimiser]}")
        self.by, self.optimiser = by, optimiser
        claims = stiefel.get(by).claims
        self.residual = claims.residual
        self.is_riemannian = claims.optimiser == "riemannian"
        self.is_tuned = optimiser != "lbfgs"
        self.is_deterministic = optimiser == "lbfgs"
        has_metric = self.is_riemannian or claims.retraction_order is not None
        self.alignment = _ALIGNMENT[claims.metric] if has_metric else 0.0
        self.largest = LARGEST.get(by)

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        return self.residual * point.shape[-2] * torch.finfo(point.dtype).eps

    def make_weight(self, start: Float[Tensor, "n p"]) -> Attached:
        return Attached(start, self.by)

    def stepper(self, weight: Attached, lr: float) -> torch.optim.Optimizer:
        if self.is_riemannian:
            return self._of_points(weight, lr)
        if self.optimiser == "lbfgs":
            return weight.rebased_with(euclidean("lbfgs", weight.trained, lr))
        return weight.rebased_with(self._built(weight, lr))

    def plain(self, weight: Attached, lr: float) -> torch.optim.Optimizer:
        return stiefel.optim.build(weight.layer, "sgd", lr=lr)

    def _of_points(self, weight: Attached, lr: float) -> torch.optim.Optimizer:
        if self.optimiser != "lbfgs":
            return self._built(weight, lr)
        (group,) = self.plain(weight, lr).param_groups
        return RiemannianLBFGS(
            [weight.trained], max_iterations=1, history=HISTORY, tolerance=0.0, retraction=group["retraction"]
        )

    def _built(self, weight: Attached, lr: float) -> torch.optim.Optimizer:
        optimiser = stiefel.optim.build(weight.layer, self.optimiser, lr=lr)
        if self.optimiser == "sgd":
            for group in optimiser.param_groups:
                group["momentum"] = MOMENTUM
        return optimiser


def methods() -> list[Trained]:
    """Return every registered map under each optimiser."""
    return [Ours(by, optimiser) for by in stiefel.names() for optimiser in OPTIMISERS]
