"""The contract of a method: how it is run under the clock, and what it claims. Add one as a file of `methods/`."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.problem import Problem
from benchmarks.convergence.watch import Watch


class Method(ABC):
    """A way to minimise a problem, under the name that tables show.

    family: ours, or whose it is. is_tuned: it has a learning rate, which every problem tunes by the same budget.
    is_deterministic: it compares values of the loss, and makes sense for problems without mini-batches only.
    largest: it holds n × n matrices, and isn't run for more rows; a step would take longer than a whole budget.
    alignment: the least cosine that it claims between an infinitesimal first step and −the Riemannian gradient,
        Euclidean metric: 1 for steepest descent in that metric, √8/3 in the canonical one, 0 in coordinates whose
        metric is another.
    """

    family: ClassVar[str]
    is_tuned: bool = True
    is_deterministic: bool = False
    largest: int | None = None
    alignment: float = 0.0

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def defect(self, point: Float[Tensor, "n p"]) -> float:
        """Return the ‖XᵀX − I‖₁ that it claims not to pass at points of this shape and dtype; inf if it claims none."""

    @abstractmethod
    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        """Minimise `watch.problem` from `start`, in its dtype, until the watch or the method itself ends it."""

    @abstractmethod
    def probe(self, problem: Problem, point: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        """Return the direction in which a fresh run leaves a point of the manifold, for a vanishing step."""
