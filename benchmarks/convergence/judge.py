"""Who is ranked: a method that leaves the manifold, or whose gradient is wrong, is flagged in place of a rank.

All is read from result lines, so old results can be judged anew.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.convergence.results import Line
from benchmarks.convergence.watch import TARGETS
from distill.statistics import estimate

OURS = "stiefel"
# A probe's cosine is good to about 1e-6; a claimed one is met within this.
COSINE_TOLERANCE = 1e-3
# Of a direction that claims nothing but descent: below it the loss hardly falls along it, or rises.
LEAST_COSINE = 1e-3
# Where a method stops by itself, its gradient has to be below this share of the start's.
STATIONARY = 1e-3
# An optimum that is beaten by more than rounding isn't one.
BEATEN = -1e-9


@dataclass(frozen=True)
class Entry:
    """One method on one problem: its runs by seed, what they cost, and what is wrong with it."""

    problem: str
    method: str
    family: str
    budget: float
    runs: tuple[Line, ...]
    cost: Line
    flags: tuple[str, ...]

    @property
    def is_ranked(self) -> bool:
        """Whether it ran and nothing is wrong with it."""
        return not self.flags and any(run["curve"]["gap"] for run in self.runs)

    @property
    def is_left_out(self) -> bool:
        """Whether it wasn't run at all."""
        return all(run["status"] == "left out" for run in self.runs)

    def reached(self, target: float, figure: str = "seconds") -> list[float]:
        """Return a figure of every run when it reached the target; inf for one that didn't (censored)."""
        key = f"{target:.0e}"
        return [float(run["reached"].get(key, {}).get(figure, math.inf)) for run in self.runs]

    def typical(self, target: float, figure: str = "seconds") -> tuple[float, float, float]:
        """Return the geometric mean over seeds and its 95 % interval; inf unless every seed reached the target."""
        values = self.reached(target, figure)
        if not values or not all(math.isfinite(value) for value in values):
            return math.inf, math.inf, math.inf
        logs = estimate([math.log(max(value, 1e-12)) for value in values])
        width = 0.0 if math.isnan(logs.half_width) else logs.half_width
        return math.exp(logs.mean), math.exp(logs.mean - width), math.exp(logs.mean + width)

    @property
    def last_gap(self) -> float:
        """The median gap at the end of the runs."""
        gaps = sorted(float(run["last"].get("gap", math.inf)) for run in self.runs)
        return gaps[len(gaps) // 2] if gaps else math.inf

    @property
    def worst_defect(self) -> float:
        """The largest defect of any iterate that was judged; 0 if none was."""
        return _worst_defect(self.runs)

    @property
    def rank(self) -> tuple[float, ...]:
        """What entries of one problem are sorted by: targets from the hardest on, then the gap at the end."""
        for index, target in enumerate(reversed(TARGETS)):
            if math.isfinite(self.typical(target)[0]):
                return index, self.typical(target)[0]
        return len(TARGETS), self.last_gap


def entries(lines: Iterable[Line]) -> list[Entry]:
    """Return every method on every problem that the lines hold runs of, in their order."""
    runs: dict[tuple[str, str, float], list[Line]] = {}
    costs: dict[tuple[str, str, float], Line] = {}
    for line in lines:
        if line["kind"] == "end" and line["what"] in ("run", "cost"):
            key = (line["problem"], line["method"], line["budget"])
            if line["what"] == "cost":
                costs[key] = line
            else:
                runs.setdefault(key, []).append(_complete(line))
    return [
        Entry(*key[:2], found[0]["family"], key[2], tuple(found), costs.get(key, {}), tuple(flags(found)))
        for key, found in runs.items()
    ]


def flags(runs: list[Line]) -> list[str]:
    """Return one sentence for each thing that is wrong with a method's runs."""
    return [*_off_manifold(runs), *_wrong_gradient(runs), *_not_stationary(runs), *_failed(runs)]


def beaten(found: Iterable[Entry]) -> list[str]:
    """Return the problems on which somebody ended below the optimum, which then isn't one."""
    return sorted({entry.problem for entry in found if entry.last_gap < BEATEN})


def _off_manifold(runs: list[Line]) -> list[str]:
    claimed = float(runs[0]["claimed_defect"])
    worst = _worst_defect(runs)
    if not worst > claimed:
        return []
    return [f"leaves the manifold: a defect of {worst:.1e}, where it claims {claimed:.1e}"]


def _worst_defect(runs: Sequence[Line]) -> float:
    return max((float(run["worst_defect"]) for run in runs if run["last"]), default=0.0)


def _wrong_gradient(runs: list[Line]) -> list[str]:
    cosines = [run["alignment"] for run in runs if run.get("alignment") is not None]
    least = max(runs[0]["claimed_alignment"] - COSINE_TOLERANCE, LEAST_COSINE)
    if not cosines or min(cosines) >= least:
        return []
    return [f"its gradient is wrong: its first step has a cosine of {min(cosines):.3f} to the steepest descent"]


def _not_stationary(runs: list[Line]) -> list[str]:
    for run in runs:
        norms = run["curve"]["gradient_norm"]
        if run["status"] == "stopped" and norms and float(norms[-1]) > STATIONARY * float(norms[0]):
            return [f"stops by itself at a gradient of {float(norms[-1]):.1e}: not a stationary point"]
    return []


def _failed(runs: list[Line]) -> list[str]:
    found = [run for run in runs if run["status"] in ("crashed", "diverged")]
    if len(found) < len(runs):
        return []
    return [f"{found[0]['status']}: {found[0]['reason'] or 'NaN or infinite entries'}"]


def _complete(line: Line) -> dict[str, Any]:
    """Return a run's line with what a crash outside the method has left out."""
    empty = {"reached": {}, "last": {}, "worst_defect": "nan", "curve": {"gap": [], "gradient_norm": []}, "reason": ""}
    return empty | line
