"""Measure this machine's own sheet, predict reference steps with it, and hold the prediction against the clock."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import torch

from distill.budget import model, probes
from distill.budget.reference import references
from distill.budget.sheet import Sheet
from distill.budget.step import Step

# A prediction counts as right within this factor either way.
ALLOWED = 1.5
# Times that are nearer to each other than this have no order to predict: it is their spread from run to run.
TOLD_APART = 1.25
# Each step fills about this long a turn; short steps are called again and again.
_TURN_SECONDS = 0.01

Key = TypeVar("Key")


@dataclass(frozen=True)
class Row:
    """One reference step."""

    group: str
    name: str
    predicted_ms: float
    measured_ms: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_ms / self.measured_ms


@dataclass(frozen=True)
class Calibration:
    """A machine's sheet, and how well it predicts the reference steps. clock: what was read."""

    sheet: Sheet
    rows: list[Row]
    clock: str

    @property
    def worst(self) -> float:
        """The largest factor by which a prediction is off."""
        return max(max(row.ratio, 1 / row.ratio) for row in self.rows)

    @property
    def within(self) -> int:
        """How many predictions are right within the allowed factor."""
        return sum(1 / ALLOWED <= row.ratio <= ALLOWED for row in self.rows)

    @property
    def pairs(self) -> list[tuple[Row, Row]]:
        """Pairs of one group, the quicker first, whose measured times are clearly apart."""
        ordered = sorted(self.rows, key=lambda row: row.measured_ms)
        return [
            (quick, slow)
            for quick, slow in combinations(ordered, 2)
            if quick.group == slow.group and slow.measured_ms > TOLD_APART * quick.measured_ms
        ]

    @property
    def misordered(self) -> list[tuple[Row, Row]]:
        """Those of the pairs that are predicted in the wrong order."""
        return [(quick, slow) for quick, slow in self.pairs if quick.predicted_ms >= slow.predicted_ms]


def calibrate(device: str, *, rounds: int) -> Calibration:
    """Return this machine's sheet and how well it predicts, on as many threads as torch has.

    Probes and references take turns in one run, so what else the machine does meets all of them. One thread of a CPU
    is timed by its own CPU clock, which stands still while another process has the core.
    """
    clock, read = _clock(device)
    groups = references(device)
    probed = probes.probes(device)
    steps: dict[tuple[str, str], Step] = {("probe", name): probe.step for name, probe in probed.items()}
    steps |= {(group, name): step for group, members in groups.items() for name, (step, _) in members.items()}
    seconds = times(steps, rounds=rounds, read=read)
    sheet = probes.fit(probed, {name: seconds["probe", name] for name in probed}, device)
    rows = [
        Row(group, name, 1e3 * model.step_seconds(trace, sheet), 1e3 * seconds[group, name])
        for group, members in groups.items()
        for name, (_, trace) in members.items()
    ]
    return Calibration(sheet, rows, clock)


def _clock(device: str) -> tuple[str, Callable[[], float]]:
    if device == "cpu" and torch.get_num_threads() == 1:
        return "CPU seconds of one thread", time.thread_time
    if device == "cpu":
        return "wall", time.perf_counter
    return "wall", _synchronised


def _synchronised() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def times(steps: Mapping[Key, Step], *, rounds: int, read: Callable[[], float]) -> dict[Key, float]:
    """Return the median seconds of each step over `rounds` turns; a first call warms it up."""
    calls = {}
    for key, step in steps.items():
        step()
        started = read()
        step()
        calls[key] = max(1, min(1000, round(_TURN_SECONDS / max(read() - started, 1e-7))))
    found: dict[Key, list[float]] = {key: [] for key in steps}
    for _ in range(rounds):
        for key, step in steps.items():
            step()  # finds the caches that the one before left
            started = read()
            for _ in range(calls[key]):
                step()
            found[key].append((read() - started) / calls[key])
    return {key: statistics.median(each) for key, each in found.items()}
