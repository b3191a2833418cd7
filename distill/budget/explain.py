"""Where a run's seconds go on a device: by part of the step, and by operator."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from distill import recipe, tasks
from distill.budget import model
from distill.budget.sheet import Sheet
from distill.budget.step import traced, training_step
from distill.config import Config


@dataclass(frozen=True)
class Explanation:
    """One training step on a device.

    parts: seconds of what the task tells apart, of optimiser and other. operators: (name, kind, calls, seconds), the
    dearest first. peak_bytes: the most that it holds at once; a device with less memory can't run it.
    """

    sheet: Sheet
    seconds: float
    flops: int
    peak_bytes: int
    parts: dict[str, float]
    operators: list[tuple[str, str, int, float]]

    @property
    def fits(self) -> bool:
        """Whether the device has the memory."""
        return self.peak_bytes <= self.sheet.memory


def explain(task_name: str, config: Config, sheet: Sheet) -> Explanation:
    """Trace a training step of a recipe on this machine and return what it costs on a device.

    The teacher's answers are always computed, as in a run without a cache of them; no weights are read.
    """
    task = tasks.get(task_name).untaught(config)
    trace = traced(training_step(task, config), task)
    parts: dict[str, float] = defaultdict(float)
    operators: dict[tuple[str, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for cost in model.costs(trace, sheet):
        key = (cost.operation.name, cost.operation.kind)
        parts[cost.operation.part] += cost.seconds
        calls, seconds = operators[key]
        operators[key] = (calls + cost.calls, seconds + cost.seconds)
    return Explanation(
        sheet=sheet,
        seconds=sum(parts.values()),
        flops=trace.flops,
        peak_bytes=trace.peak_bytes,
        parts=dict(sorted(parts.items(), key=lambda item: -item[1])),
        operators=sorted(((*key, *each) for key, each in operators.items()), key=lambda each: -each[3]),
    )


def explain_run(folder: Path, sheet: Sheet) -> Explanation:
    """Return the explanation of a run folder's recipe.

    Raises: RecipeFileError.
    """
    return explain(*recipe.read(folder / "config.yaml"), sheet)
