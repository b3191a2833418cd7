"""One run, its learning rate, its cost: the same start, data, budget and tuning for every method."""

import contextlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.convergence.method import Method
from benchmarks.convergence.problem import Problem, value_and_gradient
from benchmarks.convergence.watch import TARGETS, FinishedError, Judge, Limit, Record, Watch
from benchmarks.measure import peak_bytes
from distill.budget import flops
from stiefel.errors import CostError, NonFiniteError
from stiefel.manifold import nearest_point, tangent_projection

# Successive halving over a logarithmic grid: each rung gets the budget of one run in all, and keeps a third.
GRID = tuple(10 ** (k / 2) for k in range(-6, 3))  # 0.001 to 10
KEPT = 3
TUNING_SEED = 0
# What a run may take in all, in its budget's units: judging it isn't on its clock.
OVERALL = 4
# What a result keeps of a run's records, how many of them, and with how many significant digits.
CURVE = ("iteration", "seconds", "evaluations", "gap", "gradient_norm", "defect")
MOST_RECORDS, DIGITS = 20, 3
# Steps that cost and memory are measured on: the first ones have no history.
MEASURED = 4
# Below this share of the start's gradient, rounding decides where a probe points.
LEAST_GRADIENT = 1e-4


@dataclass(frozen=True)
class Outcome:
    """A finished run. status: converged, censored, stopped (by the method itself), diverged, crashed or left out."""

    status: str
    reason: str
    records: list[Record]
    kept: list[torch.Tensor]

    @property
    def score(self) -> tuple[float, float]:
        """What tuning compares: the gap at the end, or the time where the last target was met."""
        if not self.records or self.status in ("diverged", "crashed"):
            return math.inf, math.inf
        last = self.records[-1]
        return (TARGETS[-1], last.seconds) if last.gap <= TARGETS[-1] else (last.gap, last.seconds)


def run(method: Method, problem: Problem, *, lr: float, seed: int, limit: Limit) -> Outcome:
    """Run a method once. Whatever it raises becomes its outcome."""
    if method.is_deterministic and problem.is_stochastic:
        return Outcome("left out", "it compares values of the loss, which mini-batches make noise of", [], [])
    if method.largest is not None and problem.n > method.largest:
        return Outcome("left out", f"it holds n × n matrices: not run for n > {method.largest}", [], [])
    start = problem.start(seed)
    working = problem.working
    watch = Watch(working, Judge(problem, start), limit)
    reason = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A peer may warn; its figures stand all the same.
            method.run(watch, start.to(working.dtype), lr=lr, seed=seed)
        status = "stopped"
    except FinishedError as finished:
        status = finished.status
    except (NonFiniteError, CostError) as error:
        status, reason = "diverged", str(error)
    except Exception as error:
        status, reason = "crashed", f"{type(error).__name__}: {error}"
    return Outcome(status, reason, watch.records, watch.kept)


def tune(method: Method, problem: Problem, seconds: float) -> dict[str, Any]:
    """Return the `lr` that wins successive halving on a seed of its own, and the `trail` of scores that led there."""
    if not method.is_tuned:
        return {"lr": 1.0, "trail": []}  # nothing to tune: not used
    rates = list(GRID)
    trail = []
    while len(rates) > 1:
        limit = Limit(seconds / len(rates), overall=OVERALL * seconds / len(rates))
        scores = {lr: run(method, problem, lr=lr, seed=TUNING_SEED, limit=limit).score for lr in rates}
        trail.append({f"{lr:.4g}": _short(score[0]) for lr, score in scores.items()})
        rates = sorted(rates, key=lambda lr: scores[lr])[: max(1, len(rates) // KEPT)]
    return {"lr": rates[0], "trail": trail}


def cost(method: Method, problem: Problem, *, lr: float) -> dict[str, float]:
    """Return the flops of a method per evaluation of the loss, its own work included, and its peak memory in MiB.

    Counted on its first steps; with a line search, which takes more or fewer evaluations later, it is an average.
    Peak memory is torch's, beyond the problem's data.
    """
    working, start = problem.working, problem.start(TUNING_SEED)

    def steps() -> Watch:
        watch = Watch(working, None, Limit(iterations=MEASURED))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(FinishedError):
                method.run(watch, start.to(working.dtype), lr=lr, seed=TUNING_SEED)
        return watch

    with flops.counter() as counted:
        watch = steps()
    total = counted.get_total_flops() + watch.extra_flops
    return {
        "flops_per_evaluation": total / max(watch.evaluations, 1),
        "peak_mib": peak_bytes(steps, device="cpu") / 2**20,
    }


def alignment(method: Method, problem: Problem, points: Sequence[torch.Tensor]) -> float | None:
    """Return the least cosine between a fresh first step and −the gradient, both in float64, over the points given.

    None where no point is far enough from a stationary one to tell.
    """
    cosines, first_norm = [], None
    for point in points:
        point = nearest_point(point.double())
        gradient = tangent_projection(point, value_and_gradient(problem, point)[1])
        norm = float(torch.linalg.vector_norm(gradient))
        first_norm = norm if first_norm is None else first_norm
        if norm > LEAST_GRADIENT * first_norm:
            direction = tangent_projection(point, method.probe(problem, point))
            along = -float((gradient * direction).sum())
            cosines.append(along / (norm * float(torch.linalg.vector_norm(direction)) or math.inf))
    return min(cosines, default=None)


def summary(outcome: Outcome, flops_per_evaluation: float) -> dict[str, Any]:
    """Return what a result keeps of a run: status, targets reached, the last record, and a thinned curve."""
    records = outcome.records
    reached = {}
    for target in TARGETS:
        found = next((record for record in records if record.gap <= target), None)
        if found is not None:
            reached[f"{target:.0e}"] = {
                "seconds": _short(found.seconds),
                "own_seconds": _short(found.seconds - found.problem_seconds),
                "iterations": found.iteration,
                "flops": _short(found.evaluations * flops_per_evaluation),
            }
    count = min(len(records), MOST_RECORDS)
    chosen = [records[round(k * (len(records) - 1) / max(count - 1, 1))] for k in range(count)]
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "reached": reached,
        "worst_defect": _short(max((record.defect for record in records), default=math.nan)),
        "last": {name: _short(value) for name, value in asdict(records[-1]).items()} if records else {},
        "curve": {name: [_short(getattr(record, name)) for record in chosen] for name in CURVE},
    }


def _short(value: float) -> float | int | str:
    if isinstance(value, int):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
