"""What a comparison found, read back from its run folders: the only thing that tables and pages look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distill.statistics import Estimate, estimate, paired_difference

BASELINE = "no distillation"


@dataclass(frozen=True)
class Run:
    """One finished run. `evaluations` are its evaluation records in order of their `step`."""

    seed: int
    summary: dict[str, Any]
    evaluations: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """The runs of one method, one a seed, in the same order of seeds for every method."""

    name: str
    runs: Sequence[Run]

    def values(self, key: str) -> list[float]:
        """Return `key` of every run's summary."""
        return [float(run.summary[key]) for run in self.runs]

    def has(self, key: str) -> bool:
        """Whether every run's summary holds `key`."""
        return all(key in run.summary for run in self.runs)

    def estimate(self, key: str) -> Estimate:
        """Return the mean over seeds with its 95 % interval."""
        return estimate(self.values(key))


@dataclass(frozen=True)
class Comparison:
    """Methods that started alike, saw the same data and spent the same budget.

    metric: the summary key that ranks them, higher is better. teacher: the teacher's own value of it.
    notes: what a reader must know to read the figures right.
    """

    task: str
    recipe_name: str
    budget: str
    metric: str
    teacher: float
    methods: Sequence[Method]
    recipe: str
    environment: dict[str, Any]
    command: str
    notes: Sequence[str] = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds every method was run with."""
        return [run.seed for run in self.methods[0].runs]

    @property
    def baseline(self) -> Method:
        """The runs without distillation, all else equal."""
        return next(method for method in self.methods if method.name == BASELINE)

    def gain(self, method: Method, *, over: Method) -> Estimate:
        """Return how much better `method` is than `over`, paired by seed."""
        return paired_difference(method.values(self.metric), over.values(self.metric))
