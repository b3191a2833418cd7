"""The comparison's numbers as rows of text, for the terminal and for the page alike."""

from dataclasses import dataclass

from rich.table import Table as RichTable

from distill.results import Comparison, Method
from distill.statistics import Estimate

NOTE = (
    "± is the half-width of Student's 95 % interval over seeds. Gain: over no distillation, paired by seed. "
    "Defect: the worst final Frobenius norm of P·Pᵀ − I over seeds; - where the projector isn't orthogonal."
)


@dataclass(frozen=True)
class Table:
    """Rows of text under headers; the first column names the method."""

    headers: list[str]
    rows: list[list[str]]
    note: str


def table(comparison: Comparison) -> Table:
    """Return one row a method, and the teacher's as the last."""
    headers = ["method", f"{comparison.metric}, %", "gain, %", "train, s", "defect"]
    rows = [_row(comparison, method) for method in comparison.methods]
    return Table(headers, [*rows, ["teacher", f"{100 * comparison.teacher:.2f}", "", "", ""]], NOTE)


def console_table(comparison: Comparison) -> RichTable:
    """Return a comparison's table for a terminal."""
    return for_terminal(table(comparison), _title(comparison))


def for_terminal(content: Table, title: str) -> RichTable:
    """Return a table for a terminal."""
    rich = RichTable(title=title, title_justify="left", caption=content.note, caption_justify="left")
    for index, header in enumerate(content.headers):
        rich.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
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


def _row(comparison: Comparison, method: Method) -> list[str]:
    is_baseline = method is comparison.baseline
    gain = "" if is_baseline else plus_minus(comparison.gain(method, over=comparison.baseline), signed=True)
    seconds = plus_minus(method.estimate("train_seconds"), scale=1)
    defect = f"{max(method.values('defect')):.1e}" if method.has("defect") else "-"
    return [method.name, plus_minus(method.estimate(comparison.metric)), gain, seconds, defect]


def _title(comparison: Comparison) -> str:
    return f"{comparison.task}, recipe {comparison.recipe_name}, {comparison.budget}, seeds {comparison.seeds}"
