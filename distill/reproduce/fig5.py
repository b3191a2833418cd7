"""Figure 5: projectors against training time, on a short and a long schedule."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill import budget
from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, tidy
from distill.report.table import Table, plus_minus
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import as_figures, difference
from distill.reproduce.methods import colour, entries, entry
from distill.results import Method

_PROJECTORS = ("none", "linear", "mlp", "ensemble", "vkd")
# The long schedule is the recipe's own, whose runs other experiments share; the short one is this part of it.
_SHORT = 3


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return every projector on both schedules."""
    return [*(entry(name, {"budget": short(config.budget)}) for name in _PROJECTORS), *entries(_PROJECTORS)]


def short(text: str) -> str:
    """Return the short schedule to a recipe's budget."""
    return budget.parse(text).share(_SHORT)


def analyse(study: Study) -> Finding:
    """Compare the projectors on each schedule, paired by seed."""
    comparison, metric = study.comparison, study.comparison.metric.name
    count = len(_PROJECTORS)
    schedules = {
        f"short, {short(study.config.budget)}": comparison.methods[:count],
        f"long, {study.config.budget}": comparison.methods[count:],
    }
    figures, rows, sentences = {}, [], []
    for schedule, methods in schedules.items():
        vkd = methods[-1]
        ends = [method.estimate(metric) for method in methods]
        gains = [comparison.gain(vkd, over=method) for method in methods[:-1]]
        figures[schedule] = {
            _projector(method): {
                "steps": [record["step"] for record in method.runs[0].evaluations],
                metric: [[record[metric] for record in run.evaluations] for run in method.runs],
                "end": as_figures(end),
                "vkd_gain": as_figures(comparison.gain(vkd, over=method)) if method is not vkd else None,
            }
            for method, end in zip(methods, ends, strict=True)
        }
        rows += [
            [f"{_projector(method)}, {schedule}", plus_minus(end), plus_minus(gain, signed=True) if gain else ""]
            for method, end, gain in zip(methods, ends, [*gains, None], strict=True)
        ]
        best = max(zip(ends, methods, strict=True), key=lambda pair: pair[0].mean)[1]
        sentences.append(f"On the {schedule} schedule {_projector(best)} ends highest in the mean.")
        sentences += [
            difference(metric.capitalize(), "VkD", _projector(method), gain, scale=100, unit=" %")
            for method, gain in zip(methods[:-1], gains, strict=True)
            if method is not methods[0]
        ]
    note = (
        "± is the half-width of Student's 95 % interval over seeds; gains are over the row's projector, paired by seed."
    )
    table = Table(["projector", f"final {metric}, %", "VkD's gain, %"], rows, note)
    return Finding({"metric": metric, "schedules": figures}, table, sentences, _picture(schedules, metric))


def _projector(method: Method) -> str:
    return method.name.split(",")[0]


def _picture(schedules: dict[str, Sequence[Method]], metric: str) -> Figure:
    picture = blank(9, 3.8)
    axes = picture.subplots(1, 2, sharey=True)
    for each, (schedule, methods) in zip(axes, schedules.items(), strict=True):
        for place, method in enumerate(methods):
            _curve(each, method, metric, place)
        each.set(xlabel="optimiser steps (bars: 95 % intervals at the end)", title=schedule.capitalize(), ylim=(0, 100))
        tidy(each)
    axes[0].set_ylabel(f"test {metric}, %")
    axes[1].legend(loc="lower right")
    return picture


def _curve(axes: Axes, method: Method, metric: str, place: int) -> None:
    """Draw the mean over seeds, and its interval beside the end: five bands over each other show nothing."""
    steps = [record["step"] for record in method.runs[0].evaluations]
    values = np.array([[100 * record[metric] for record in run.evaluations] for run in method.runs])
    axes.plot(steps, values.mean(0), color=colour(method.name), label=_projector(method), linewidth=1.8)
    end = method.estimate(metric)
    width = None if end.count < 2 else 100 * end.half_width
    beside = steps[-1] * (1.03 + 0.03 * place)
    axes.errorbar(beside, 100 * end.mean, yerr=width, fmt="o", markersize=4, color=colour(method.name), capsize=2)


EXPERIMENT = Experiment("Figure 5: projectors against training time", 3, needed, analyse)
