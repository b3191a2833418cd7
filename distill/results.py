"""What a comparison found, read back from its run folders: the only thing that tables and pages look at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.metric import Metric
from distill.statistics import Estimate, bootstrap, estimate

BASELINE = "no distillation"
# What stands between the words of a method's name; no comma, as methods are listed by commas.
BETWEEN = " · "


@dataclass(frozen=True)
class Run:
    """One finished run. `evaluations` are its evaluation records in order of their `step`."""

    seed: int
    summary: dict[str, Any]
    evaluations: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One run that a learning rate was judged by. value: of the metric, NaN for a run that diverged."""

    rate: float
    budget: str
    value: float
    steps: int
    train_seconds: float


@dataclass(frozen=True)
class Tuning:
    """How a method came by its learning rate. seed: none of the compared ones."""

    rate: float
    seed: int
    trials: Sequence[Trial]

    @property
    def steps(self) -> int:
        """All trials' steps."""
        return sum(trial.steps for trial in self.trials)

    @property
    def train_seconds(self) -> float:
        """All trials' seconds of training."""
        return math.fsum(trial.train_seconds for trial in self.trials)


@dataclass(frozen=True)
class Method:
    """The runs of one method, one a seed, in the same order of seeds for every method.

    over: the method that its gain is measured over, itself for one without distillation. varied: what it is in the
    words of the grid. teacher: its teacher's own value of the metric, NaN where that has none. parts_ms: a step's
    milliseconds on a V100 by part, predicted.
    """

    name: str
    runs: Sequence[Run]
    over: str = BASELINE
    varied: Mapping[str, str] = field(default_factory=dict)
    teacher: float = math.nan
    parts_ms: Mapping[str, float] = field(default_factory=dict)
    tuning: Tuning | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether it goes without distillation."""
        return self.over == self.name

    @property
    def v100_ms(self) -> float:
        """A step's milliseconds on a V100, predicted."""
        return math.fsum(self.parts_ms.values())

    def v100_seconds(self, steps: float) -> float:
        """Return how long a number of steps takes on a V100, predicted."""
        return 1e-3 * self.v100_ms * steps

    @property
    def data_share(self) -> float:
        """The share of the training seconds on this machine that went on waiting for batches."""
        return math.fsum(self.values("data_seconds")) / math.fsum(self.values("train_seconds"))

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

    notes: what a reader must know to read the figures right. trust: how far the predictions for a V100 can be trusted.
    """

    task: str
    recipe_name: str
    budget: str
    metric: Metric
    methods: Sequence[Method]
    recipe: str
    environment: dict[str, Any]
    command: str
    notes: Sequence[str] = ()
    trust: Sequence[str] = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds every method was run with."""
        return [run.seed for run in self.methods[0].runs]

    @property
    def baselines(self) -> list[Method]:
        """The methods without distillation: one, unless the student, or what it sees, varies."""
        return [method for method in self.methods if method.is_baseline]

    @property
    def distilled(self) -> list[Method]:
        """The methods with distillation."""
        return [method for method in self.methods if not method.is_baseline]

    @property
    def baseline(self) -> Method:
        """The first method without distillation, all else equal."""
        return self.baselines[0]

    @property
    def teacher(self) -> float:
        """The first method's teacher's own value of the metric."""
        return self.methods[0].teacher

    def over(self, method: Method) -> Method:
        """Return the method that a method's gain is measured over."""
        return next(each for each in self.methods if each.name == method.over)

    def gains(self, method: Method, *, over: Method) -> list[float]:
        """Return how much better `method` is than `over`, a number a seed."""
        pairs = zip(method.values(self.metric.name), over.values(self.metric.name), strict=True)
        return [self.metric.gain(value, other) for value, other in pairs]

    def gain(self, method: Method, *, over: Method) -> Estimate:
        """Return how much better `method` is than `over`, paired by seed: what both share (data, start) cancels."""
        return estimate(self.gains(method, over=over))

    def gain_bootstrap(self, method: Method, *, over: Method) -> tuple[float, float]:
        """Return the bootstrap's interval of the same gain."""
        return bootstrap(self.gains(method, over=over))
