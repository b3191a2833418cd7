"""Where a law looks: a map placed at a case's base, with the free tensor of a case's step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from proofs.cases import Case
from stiefel import Parameterisation, attach, nearest_point


@dataclass(frozen=True)
class Setting:
    """A map whose base is `base`, reached at the free tensor `start`, and the free tensor `free` a step away."""

    map: Parameterisation
    base: Float[Tensor, "*b n p"]
    start: Float[Tensor, "*b n p"]
    step: Float[Tensor, "*b n p"]

    @property
    def free(self) -> Float[Tensor, "*b n p"]:
        """Where the step leads. A Riemannian optimiser keeps the free tensor itself on the manifold, and so do we."""
        moved = self.start + self.step
        return nearest_point(moved) if self.map.claims.optimiser == "riemannian" else moved


def place(by: type[Parameterisation], case: Case) -> Setting:
    """Return a new map of class `by` moved to the case's base."""
    base, step = case.matrices()
    placed = by(*case.shape, dtype=case.dtype)
    return Setting(placed, base, placed.right_inverse(base), step)


class Weight(nn.Module):
    """The smallest module with a weight of any batch shape."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())


def attached(by: type[Parameterisation], weight: Float[Tensor, "*b n p"]) -> Weight:
    """Return a module whose weight is kept orthonormal by a map of class `by`."""
    return attach(Weight(weight), by=f"{by.__module__}:{by.__qualname__}")


def trained_tensor(module: Weight) -> nn.Parameter:
    """Return the tensor that an optimiser trains."""
    return next(module.parameters())


def reach(by: type[Parameterisation]) -> float:
    """Return the norm up to which laws of training drive a free tensor."""
    return min(by.claims.domain, math.pi)


def size(step: Float[Tensor, "*b n p"]) -> float:
    """Return max(1, ‖step‖₂), the factor by which rounding grows away from the base."""
    return max(1.0, float(torch.linalg.matrix_norm(step.double(), ord=2).amax()))


def distance(one: Float[Tensor, "*b n p"], other: Float[Tensor, "*b n p"]) -> float:
    """Return the worst spectral norm of the difference over the batch, in float64; NaN if either holds one."""
    difference = one.detach().double() - other.detach().double()
    # LAPACK's SVD raises on NaN, where a law wants to see it.
    return float(torch.linalg.matrix_norm(difference, ord=2).amax()) if difference.isfinite().all() else math.nan


def worst(defects: Iterable[float]) -> float:
    """Return the largest, or NaN if there is one: Python's own `max(1.0, nan)` is 1.0."""
    values = list(defects)
    return math.nan if any(map(math.isnan, values)) else max(values)
