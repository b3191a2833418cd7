"""The comparison's numbers as rows of text, for the terminal, the page and LaTeX alike.

Nothing that a clock measured is in the table of results: the same comparison gives the same one again.
"""

import math
from dataclasses import dataclass

from rich.table import Table as RichTable

from distill.metric import Metric
from distill.results import Comparison, Method
from distill.statistics import Estimate

NOTE = "± is the half-width of Student's 95 % interval over seeds. Gain: over no distillation, paired by seed."
_DEFECT = "Defect: the worst final Frobenius norm of P·Pᵀ − I over seeds; - where the projector isn't orthogonal."
_BOOTSTRAP = (
    "Bootstrap: the percentile interval of the same gains. It sees nothing beyond the seeds at hand and is too narrow "
    "for a few (of three, its 95 % are about 75), so verdicts rest on Student's. Of such intervals one in twenty is "
    "wrong by chance."
)


@dataclass(frozen=True)
class Table:
    """Rows of text under headers; the first column names the method."""

    headers: list[str]
    rows: list[list[str]]
    note: str


def table(comparison: Comparison) -> Table:
    """Return one row a method, and the teacher's as the last unless teachers differ, which is then a column."""
    metric, methods = comparison.metric, comparison.methods
    columns = {
        "method": [method.name for method in methods],
        metric.header: [in_metric(method.estimate(metric.name), metric) for method in methods],
        f"gain{metric.of_gains}": [_gain(comparison, method) for method in methods],
        "bootstrap 95 %": [_bootstrap(comparison, method) for method in methods],
    }
    if any(method.has("defect") for method in methods):
        columns["defect"] = [
            f"{max(method.values('defect')):.1e}" if method.has("defect") else "-" for method in methods
        ]
    if any(method.tuning for method in methods):
        columns["tuned lr"] = [f"{method.tuning.rate:.3g}" if method.tuning else "" for method in methods]
    teachers = [_plain(method.teacher, metric) for method in methods]
    if len(set(teachers)) > 1:
        columns[f"teacher{metric.of_gains}"] = teachers
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    if len(set(teachers)) == 1 and teachers[0] != "-":
        rows.append(["teacher", teachers[0], *[""] * (len(columns) - 2)])
    return Table(list(columns), rows, " ".join([NOTE, _BOOTSTRAP, *([_DEFECT] if "defect" in columns else [])]))


def parts(comparison: Comparison) -> Table:
    """Return one row a method: a step's milliseconds on a V100 by part, predicted, and all together."""
    names = part_names(comparison)
    rows = [
        [
            method.name,
            *(f"{method.parts_ms[name]:.3f}" if name in method.parts_ms else "-" for name in names),
            f"{method.v100_ms:.3f}",
        ]
        for method in comparison.methods
    ]
    note = (
        "Milliseconds of a training step on a V100, predicted from a trace of it, which has no reading of data in it."
    )
    return Table(["method", *names, "together"], rows, note)


def part_names(comparison: Comparison) -> list[str]:
    """Return the parts of the methods' steps, the common ones in their usual order."""
    found = dict.fromkeys(part for method in comparison.methods for part in method.parts_ms)
    usual = [name for name in ("student", "teacher", "projector") if name in found]
    last = [name for name in ("optimiser", "other") if name in found]
    return [*usual, *(name for name in found if name not in (*usual, *last)), *last]


def measured(comparison: Comparison) -> Table:
    """Return one row a method: what its runs took on this machine, the share of it spent on data, and on a V100."""
    rows = []
    for method in comparison.methods:
        steps = method.estimate("steps").mean
        rows.append(
            [
                method.name,
                f"{steps:.0f}",
                plus_minus(method.estimate("step_ms"), scale=1),
                f"{method.data_share:.1%}",
                plus_minus(method.estimate("train_seconds"), scale=1),
                f"{method.v100_seconds(steps):.3g}",
            ]
        )
    headers = ["method", "steps", "ms a step", "on data", "s a run", "V100 s a run"]
    note = (
        "Measured while training on this machine, with all else that it was doing, ± as above; evaluation, checkpoints "
        "and logging aside. Data: waiting for batches. The last column is predicted."
    )
    return Table(headers, rows, note)


def console_table(comparison: Comparison) -> RichTable:
    """Return a comparison's table for a terminal."""
    return for_terminal(table(comparison), _title(comparison))


def for_terminal(content: Table, title: str) -> RichTable:
    """Return a table for a terminal."""
    rich = RichTable(title=title, title_justify="left", caption=content.note, caption_justify="left")
    for index, header in enumerate(content.headers):
        # The widest column is broken first, which long names are, but never inside of a word.
        words = [word for row in content.rows for word in row[0].split()] if index == 0 else []
        rich.add_column(header, justify="right" if index else "left", min_width=max(map(len, words), default=None))
    for row in content.rows:
        rich.add_row(*row)
    return rich


def percent(value: float) -> str:
    """Return a share as a percentage with two decimals."""
    return f"{100 * value:.2f} %"


def plus_minus(value: Estimate, *, scale: float = 100, signed: bool = False, digits: int = 2) -> str:
    """Return "mean ± half-width" of a share in per cent; a single seed has no interval."""
    mean = f"{scale * value.mean:{'+' if signed else ''}.{digits}f}"
    return f"{mean} ± {scale * value.half_width:.{digits}f}" if value.count > 1 else mean


def in_metric(value: Estimate, metric: Metric, *, signed: bool = False) -> str:
    """Return "mean ± half-width" as a metric is written, without its unit."""
    return plus_minus(value, scale=metric.scale, digits=metric.digits, signed=signed)


def _gain(comparison: Comparison, method: Method) -> str:
    if method.is_baseline:
        return ""
    return in_metric(comparison.gain(method, over=comparison.over(method)), comparison.metric, signed=True)


def _bootstrap(comparison: Comparison, method: Method) -> str:
    if method.is_baseline:
        return ""
    metric = comparison.metric
    low, high = comparison.gain_bootstrap(method, over=comparison.over(method))
    return "-" if math.isnan(low) else f"{_signed(low, metric)} … {_signed(high, metric)}"


def _signed(value: float, metric: Metric) -> str:
    return f"{metric.scale * value:+.{metric.digits}f}"


def _plain(value: float, metric: Metric) -> str:
    return "-" if math.isnan(value) else f"{metric.scale * value:.{metric.digits}f}"


def _title(comparison: Comparison) -> str:
    return f"{comparison.task}, recipe {comparison.recipe_name}, {comparison.budget}, seeds {comparison.seeds}"
