"""The clock of a run: it ticks from one iterate to the next, and stands still while an iterate is judged.

An iterate is judged in float64 at the exact polar projection of a copy, so that nothing is gained by leaving the
manifold, and nothing that the judge does costs the method time.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

import stiefel
from benchmarks.convergence.problem import Problem, value_and_gradient
from stiefel.manifold import tangent_projection

Result = TypeVar("Result")
TARGETS = (1e-3, 1e-6, 1e-9)
# The first iterates are all judged; from here on one whenever this share of time has passed since the last.
FIRST, SHARE = 10, 0.07
HALF = 0.5


@dataclass(frozen=True)
class Limit:
    """When a run ends at the latest: seconds on the clock, iterations, and seconds in all (the judge's included)."""

    seconds: float = math.inf
    iterations: int | None = None
    overall: float = math.inf


@dataclass(frozen=True)
class Record:
    """An iterate that was judged.

    seconds: of the method, gradients included; problem_seconds: those of them spent in the problem's loss and
    gradient; evaluations: of the loss, with its gradient or without; gap: the share of the start's distance to the
    optimum that is left; gradient_norm: Riemannian, Euclidean metric; defect: ‖XᵀX − I‖₁ of the iterate itself.
    """

    iteration: int
    seconds: float
    problem_seconds: float
    evaluations: int
    gap: float
    gradient_norm: float
    defect: float


class FinishedError(Exception):
    """Raised through a method to end it; `status` says why."""

    def __init__(self, status: str):
        self.status = status
        super().__init__(status)


class Judge:
    """Puts an iterate's quality into numbers, in float64."""

    def __init__(self, problem: Problem, start: Float[Tensor, "n p"]):
        self.problem = problem
        self.start_gap = value_and_gradient(problem, start)[0] - problem.optimum

    def gap(self, value: float) -> float:
        """Return the share of the start's gap that is left at a loss; below 0 if the optimum isn't one."""
        return (value - self.problem.optimum) / self.start_gap

    def look(self, point: Float[Tensor, "n p"]) -> tuple[float, float, float]:
        """Return (gap, gradient norm, defect)."""
        projected = stiefel.nearest_point(point.double())
        value, gradient = value_and_gradient(self.problem, projected)
        riemannian = tangent_projection(projected, gradient)
        return self.gap(value), float(torch.linalg.vector_norm(riemannian)), float(stiefel.residual(point))


@dataclass
class Watch:
    """What a method reports to: it runs the clock around its work and shows each iterate to `look`.

    problem: as the method sees it. judge: `None` counts iterations and evaluations only. `extra_flops` is for work
    that torch doesn't see. `kept`: the start, the first iterate that has half of the gap behind it, the last one.
    """

    problem: Problem
    judge: Judge | None
    limit: Limit
    records: list[Record] = field(default_factory=list)
    iteration: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    problem_seconds: float = 0.0
    extra_flops: int = 0
    kept: list[Tensor] = field(default_factory=list)
    _since: float = 0.0
    _judged: float = 0.0
    _began: float = field(default_factory=time.perf_counter)

    def go(self) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def halt(self) -> None:
        """Stop the clock."""
        self.seconds += time.perf_counter() - self._since

    def value_and_gradient(self, point: Float[Tensor, "n p"], batch: Tensor | None) -> tuple[float, Tensor]:
        """Return the problem's loss and its derivative, for the method, on the clock."""
        return self.of_problem(lambda: value_and_gradient(self.problem, point, batch))

    def of_problem(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, and count it as an evaluation of the problem."""
        before = time.perf_counter()
        result = work()
        self.problem_seconds += time.perf_counter() - before
        self.evaluations += 1
        return result

    def look(self, point: Callable[[], Tensor], *, is_step: bool = True) -> None:
        """Judge an iterate if one is due; the clock stands still meanwhile.

        Raises: FinishedError at the last target, at the limit, and at a point with NaN.
        """
        self.iteration += is_step
        is_over = self._is_over()
        if self.judge is not None and (is_over or self._is_due()):
            self._judge(self.judge, point().detach())
        if is_over:
            raise FinishedError("censored")

    def _judge(self, judge: Judge, point: Tensor) -> None:
        self._judged = self.seconds
        if not bool(point.isfinite().all()):
            raise FinishedError("diverged")
        gap, gradient_norm, defect = judge.look(point)
        # The third one is replaced until the end.
        if len(self.kept) < (2 if gap > HALF else 3):
            self.kept.append(point.clone())
        else:
            self.kept[-1] = point.clone()
        self.records.append(
            Record(self.iteration, self.seconds, self.problem_seconds, self.evaluations, gap, gradient_norm, defect)
        )
        if gap <= TARGETS[-1]:
            raise FinishedError("converged")

    def _is_due(self) -> bool:
        return self.iteration <= FIRST or self.seconds >= (1 + SHARE) * self._judged

    def _is_over(self) -> bool:
        limit = self.limit
        return (
            self.seconds >= limit.seconds
            or (limit.iterations is not None and self.iteration >= limit.iterations)
            or time.perf_counter() - self._began >= limit.overall
        )
