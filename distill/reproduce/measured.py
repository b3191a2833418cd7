"""Quantities measured of every run: their estimates over seeds, as figures, as a table and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from distill.report.table import Table, plus_minus
from distill.statistics import Estimate, estimate, paired_difference

_NOTE = "± is the half-width of Student's 95 % interval over seeds."


@dataclass(frozen=True)
class Measured:
    """runs: a run's name -> what was measured of it, a dictionary a seed. said: quantities -> their short names."""

    runs: Mapping[str, list[dict[str, Any]]]
    said: Mapping[str, str]

    def values(self, key: str, name: str) -> list[float]:
        """Return a quantity of a method, a number a seed."""
        return [float(run[key]) for run in self.runs[name]]

    def estimate(self, key: str, name: str) -> Estimate:
        """Return the mean over seeds with its 95 % interval."""
        return estimate(self.values(key, name))

    def difference(self, key: str, first: str, second: str) -> Estimate:
        """Return `first` − `second`, paired by seed."""
        return paired_difference(self.values(key, first), self.values(key, second))

    def sentences(self, first: str, second: str) -> list[str]:
        """Return what the difference `first` − `second` is in every quantity."""
        return [
            difference(said.capitalize(), first, second, self.difference(key, first, second), digits=3)
            for key, said in self.said.items()
        ]

    def all_sentences(self) -> list[str]:
        """Return the differences of every two methods, the later one minus the earlier one."""
        return [each for earlier, later in combinations(self.runs, 2) for each in self.sentences(later, earlier)]

    def table(self, note: str = _NOTE) -> Table:
        """Return a row a quantity and a column a method."""
        rows = [
            [said, *(plus_minus(self.estimate(key, name), scale=1, digits=3) for name in self.runs)]
            for key, said in self.said.items()
        ]
        return Table(["on the test images", *self.runs], rows, note)

    def figures(self) -> dict[str, Any]:
        """Return everything for the JSON: the estimates, and the runs they are of."""
        quantities = {key: {name: as_figures(self.estimate(key, name)) for name in self.runs} for key in self.said}
        return {"quantities": quantities, "runs": dict(self.runs)}


def difference(
    quantity: str, first: str, second: str, value: Estimate, *, scale: float = 1, unit: str = "", digits: int = 2
) -> str:
    """Return a sentence with the difference `first` − `second`, as far as the seeds can tell."""
    said = f"{quantity}, {first} − {second}: {plus_minus(value, scale=scale, signed=True, digits=digits)}{unit}"
    if value.count < 2:
        return f"{said}, from a single seed: no interval."
    return f"{said}." if value.is_clear_of_zero else f"{said}, which these seeds can't tell from 0."


def as_figures(value: Estimate, values: list[float] | None = None) -> dict[str, Any]:
    """Return an estimate for the JSON, with the seeds' own values if they are given."""
    figures = {"mean": value.mean, "half_width": value.half_width, "seeds": value.count}
    return figures if values is None else {**figures, "values": values}
