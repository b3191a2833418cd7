"""All jobs of a plan, one after another, each finished one on the disk: tuning, cost, one run a seed, drift."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from benchmarks.convergence import drift, methods, problems, protocol
from benchmarks.convergence.method import Method
from benchmarks.convergence.problem import Problem
from benchmarks.convergence.profiles import Plan
from benchmarks.convergence.results import MOST_STARTS, Results
from benchmarks.convergence.watch import Limit
from distill.environment import environment


@dataclass
class Progress:
    """Says what is done, and how long the rest takes if it goes on like this."""

    total: int
    say: Callable[[str], None]
    done: int = 0
    worked: int = 0
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    def pair(self, text: str, *, is_new: bool) -> None:
        """Tell that one problem and method are finished; those of an earlier process don't enter the estimate."""
        self.done += 1
        self.worked += is_new
        if is_new:
            spent = time.perf_counter() - self.began
            left = spent / self.worked * (self.total - self.done)
            self.say(f"[{self.done}/{self.total}] {text}; {spent:.0f} s, about {left:.0f} s left")


def work(plan: Plan, results: Results, say: Callable[[str], None]) -> None:
    """Do every job of the plan that `results` doesn't hold yet. A method's failure is a result.

    Raises: ResultsError if the file holds results of other settings.
    """
    results.settle({"threads": plan.threads, "drift_steps": plan.drift_steps}, environment())
    pairs = [(part, text, name) for part in plan.parts for text in part.problems for name in part.methods]
    progress = Progress(len(pairs), say)
    built: dict[str, Problem] = {}
    for part, text, name in pairs:
        if text not in built:
            built = {text: problems.build(text)}  # One at a time: a matrix of 2000 × 2000 takes 30 MiB.
        is_new = pair(results, built[text], text, methods.get(name), part.budget, plan.seeds)
        progress.pair(f"{text}, {name}: {_status(results, text, name, part.budget)}", is_new=is_new)
    if plan.drift_steps:
        _drifts(plan, results, say)


def pair(results: Results, problem: Problem, text: str, method: Method, budget: float, seeds: int) -> bool:
    """Do the jobs of one problem and method; return whether there was anything to do."""
    about = {
        "problem": text,
        "method": method.name,
        "family": method.family,
        "budget": budget,
        "claimed_defect": _as_number(method.defect(problem.start(0).to(problem.working.dtype))),
        "claimed_alignment": method.alignment,
        "is_tuned": method.is_tuned,
    }
    key = f"{text} | {method.name} | {budget:g} s"
    before = len(results.lines)
    tuned = _job(results, f"tuning | {key}", "tuning", about, lambda: protocol.tune(method, problem, budget))
    lr = tuned.get("lr", 1.0)
    for seed in range(1, seeds + 1):

        def one(seed: int = seed) -> dict[str, Any]:
            limit = Limit(budget, overall=protocol.OVERALL * budget + 1)
            outcome = protocol.run(method, problem, lr=lr, seed=seed, limit=limit)
            found: dict[str, Any] = {"seed": seed, "lr": lr}
            if outcome.records:
                costs = _job(results, f"cost | {key}", "cost", about, lambda: protocol.cost(method, problem, lr=lr))
                found |= protocol.summary(outcome, costs.get("flops_per_evaluation", 0.0))
            else:
                found |= protocol.summary(outcome, 0.0)
            if seed == 1 and outcome.kept:
                found["alignment"] = protocol.alignment(method, problem, outcome.kept)
            return found

        _job(results, f"run | {key} | seed {seed}", "run", about, one)
    return len(results.lines) > before


def _job(
    results: Results, job: str, what: str, about: dict[str, Any], do: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what a job gave, doing it unless it is done. An exception is a crash of the method, and recorded."""
    found = results.ended(job)
    if found is not None:
        return found
    line = {"kind": "end", "job": job, "what": what, **about}
    if results.is_deadly(job):
        line |= {"status": "crashed", "reason": f"the process died in it {MOST_STARTS} times"}
    else:
        results.append({"kind": "begin", "job": job})
        try:
            line |= do()
        except Exception as error:
            line |= {"status": "crashed", "reason": f"{type(error).__name__}: {error}"}
    results.append(line)
    return line


def _drifts(plan: Plan, results: Results, say: Callable[[str], None]) -> None:
    """Measure drift, two methods at a time as nothing is timed there."""
    names = [name for name in drift.candidates() if name in {each for part in plan.parts for each in part.methods}]
    missing = [name for name in names if results.ended(f"drift | {name}") is None]
    # Spawned: a forked child may wait for ever on a thread pool that torch had in its parent.
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        for name, found in zip(
            missing, pool.map(drift.measure, missing, [plan.drift_steps] * len(missing)), strict=True
        ):
            results.append({"kind": "end", "job": f"drift | {name}", "what": "drift", "method": name, **found})
            say(f"drift of {name} over {plan.drift_steps} steps: {found['status']}")


def _status(results: Results, text: str, name: str, budget: float) -> str:
    runs = [
        line for line in results.of("run") if (line["problem"], line["method"], line["budget"]) == (text, name, budget)
    ]
    return ", ".join(sorted({f"{line.get('status', 'crashed')}" for line in runs}))


def _as_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no infinity
