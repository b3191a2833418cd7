"""Table 6: the ablation of VkD's two parts, the orthogonal projector and the normalisation of the teacher."""

from itertools import product

from matplotlib.figure import Figure

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, tidy
from distill.report.table import Table, plus_minus
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import as_figures, difference
from distill.reproduce.methods import SHOWN, colour, entries, entry
from distill.results import Method

# The two projectors of the claim are crossed with every normalisation, the others shown at the paper's.
_CROSSED, _OTHERS = ("linear", "vkd"), ("mlp", "ensemble")
_NORMALISATIONS = ("none", "standardise", "whiten")
_PAPERS = "standardise"
_LABELS = {"linear": "linear", "vkd": "orthogonal", "mlp": "MLP", "ensemble": "ensemble"}


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return the grid, the other projectors and the run without distillation."""
    return [*entries(["none"]), *(_cell(*cell) for cell in _cells())]


def analyse(study: Study) -> Finding:
    """Take the grid's differences along both axes, paired by seed."""
    cells = {cell: study.method(_cell(*cell).name) for cell in _cells()}
    metric = study.comparison.metric.name
    values = {cell: method.estimate(metric) for cell, method in cells.items()}
    steps = [(("vkd", each), ("linear", each)) for each in _NORMALISATIONS]
    steps += [(("vkd", _PAPERS), (each, _PAPERS)) for each in _OTHERS]
    steps += [((each, other), (each, "none")) for each, other in product(_CROSSED, _NORMALISATIONS[1:])]
    differences = {(one, two): study.comparison.gain(cells[one], over=cells[two]) for one, two in steps}
    figures = {
        "metric": metric,
        "without": as_figures(study.comparison.baseline.estimate(metric)),
        "cells": {_said(cell): as_figures(values[cell], cells[cell].values(metric)) for cell in cells},
        "differences": {
            f"{_said(one)} minus {_said(two)}": as_figures(value) for (one, two), value in differences.items()
        },
    }
    sentences = [
        difference(metric.capitalize(), _said(one), _said(two), value, scale=100, unit=" %")
        for (one, two), value in differences.items()
    ]
    return Finding(figures, _table(study, cells), sentences, _picture(study, cells))


def _cells() -> list[tuple[str, str]]:
    return [*product(_CROSSED, _NORMALISATIONS), *((name, _PAPERS) for name in _OTHERS)]


def _cell(name: str, normalise: str) -> Entry:
    return entry(name) if normalise == _PAPERS else entry(name, {"normalise": normalise})


def _said(cell: tuple[str, str]) -> str:
    return f"({_LABELS[cell[0]]}, {cell[1]})"


def _table(study: Study, cells: dict[tuple[str, str], Method]) -> Table:
    metric = study.comparison.metric.name
    said = {cell: plus_minus(method.estimate(metric)) for cell, method in cells.items()}
    rows = [[_LABELS[name], *(said.get((name, each), "") for each in _NORMALISATIONS)] for name in _LABELS]
    without = plus_minus(study.comparison.baseline.estimate(metric))
    note = f"{metric}, %; ± is the half-width of Student's 95 % interval over seeds. No distillation: {without}."
    return Table(["projector", *_NORMALISATIONS], rows, note)


def _picture(study: Study, cells: dict[tuple[str, str], Method]) -> Figure:
    picture = blank(7.5, 3.8)
    axes = picture.subplots()
    metric = study.comparison.metric.name
    for place, name in enumerate(_LABELS):
        shown = [(column, cells[name, each]) for column, each in enumerate(_NORMALISATIONS) if (name, each) in cells]
        values = [method.estimate(metric) for _, method in shown]
        axes.errorbar(
            [column + 0.12 * (place - 1.5) for column, _ in shown],
            [100 * value.mean for value in values],
            yerr=None if values[0].count < 2 else [100 * value.half_width for value in values],
            fmt="o",
            color=colour(SHOWN[name][0]),
            capsize=3,
            label=_LABELS[name],
        )
    axes.set_xticks(range(len(_NORMALISATIONS)), _NORMALISATIONS)
    axes.set_xlim(-0.5, len(_NORMALISATIONS) - 0.5)
    axes.set(xlabel="normalisation of the teacher's features", ylabel=f"test {metric}, %")
    axes.legend(ncols=2)
    tidy(axes)
    return picture


EXPERIMENT = Experiment("Table 6: projector × normalisation", 5, needed, analyse)
