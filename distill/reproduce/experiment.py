"""The contract of an experiment: which runs it needs, and what it makes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from distill import tasks
from distill.compare import TEACHER, run_folder
from distill.grid import Entry
from distill.report.table import Table
from distill.reproduce.measured import Measured
from distill.reproduce.trained import Trained, load
from distill.results import Comparison, Method


@dataclass(frozen=True)
class Study:
    """Finished runs: their figures (`comparison`) and, on demand, their models.

    config: the recipe of the experiment's task. folder: holds all runs.
    """

    comparison: Comparison
    config: Any
    entries: Sequence[Entry]
    folder: Path

    def method(self, name: str) -> Method:
        """Return the figures of the runs called `name`."""
        return next(method for method in self.comparison.methods if method.name == name)

    def trained(self, name: str, seed: int) -> Trained:
        """Return the models of one run, as its last checkpoint left them."""
        entry = next(entry for entry in self.entries if entry.name == name)
        config = replace(self.config, seed=seed, **entry.keys)
        return load(config, run_folder(self.folder, entry, seed), self.folder / TEACHER)

    def measured(self, measure: Callable[[Trained], dict[str, Any]], said: Mapping[str, str]) -> Measured:
        """Return what `measure` gives for every run; `said` names the quantities in it that are compared."""
        names = [entry.name for entry in self.entries]
        runs = {name: [measure(self.trained(name, seed)) for seed in self.comparison.seeds] for name in names}
        return Measured(runs, said)


@dataclass(frozen=True)
class Finding:
    """What an experiment found. figures: every number in the picture. sentences: what is seen, from the numbers."""

    figures: dict[str, Any]
    table: Table
    sentences: Sequence[str]
    picture: Figure


@dataclass(frozen=True)
class Experiment:
    """One table or figure of the paper.

    entries: the runs that a recipe of the task needs. seeds: how many by default. sets: recipe keys that it sets run
    by run, beside those of methods.
    """

    title: str
    seeds: int
    entries: Callable[[Any], list[Entry]]
    analyse: Callable[[Study], Finding]
    task: str = "classification"
    sets: tuple[str, ...] = ()

    @property
    def varied(self) -> tuple[str, ...]:
        """The recipe keys that it sets run by run; what a recipe or a flag says of them would be lost."""
        methods = tasks.get(self.task).methods
        keys = {key for keys in methods.values() for key in keys} - {"alpha", "gamma"}
        return ("method", *sorted(keys), *self.sets)
