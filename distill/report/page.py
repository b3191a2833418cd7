"""Make `report.html`: one file, styles and figures inside it, nothing loaded from anywhere."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from distill.report import plots
from distill.report.plots import COLOURS, NARROW, WIDE, Curve, Look, Size, Spread
from distill.report.table import measured, part_names, parts, table
from distill.report.verdict import verdict
from distill.results import Comparison, Method
from distill.statistics import estimate

_BAND = "Line: mean over seeds; band: from the lowest to the highest seed."
_PARTS = {
    "student": COLOURS[2],
    "teacher": COLOURS[6],
    "projector": COLOURS[4],
    "optimiser": COLOURS[1],
    "other": "#9aa4ad",
}


@dataclass(frozen=True)
class Figure:
    """A figure of the page, for a screen and for a phone. legend: names with their looks, if rows don't have them."""

    title: str
    wide: str
    narrow: str
    caption: str
    legend: Mapping[str, Look]


@dataclass(frozen=True)
class Axis:
    """What a course is drawn over or drawn of: of a method's evaluation record, a number."""

    label: str
    value: Callable[[Method, Mapping[str, Any]], float]


_STEPS = Axis("optimiser steps", lambda _, record: record["step"])


def page(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    loader = PackageLoader("distill", "report")
    template = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("template.html.j2")
    found, *details = map(_unbroken, verdict(comparison))
    palette = plots.looks([method.name for method in comparison.methods])
    return template.render(
        title=f"{comparison.task.capitalize()}, recipe {comparison.recipe_name}",
        subtitle=f"{comparison.budget} a run, {_seeds(comparison.seeds)}. With each seed all methods start from the "
        "same weights and see the same labelled batches, but for what varies.",
        headline=found,
        details=[*details, *comparison.notes],
        table=table(comparison),
        gains=_gains(comparison, palette),
        courses=_courses(comparison, palette),
        parts=parts(comparison),
        measured=measured(comparison),
        cost=_cost(comparison),
        more=_more(comparison, palette),
        trust=comparison.trust,
        command=comparison.command,
        recipe=comparison.recipe,
        environment=json.dumps(comparison.environment, indent=2, ensure_ascii=False),
    )


def _unbroken(sentence: str) -> str:
    """Return a sentence whose figures no line break parts from what belongs to them."""
    return sentence.replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%").replace(" ms", "\u00a0ms")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"a single seed, {seeds[0]}"


def _gains(comparison: Comparison, palette: Mapping[str, Look]) -> Figure:
    scale = comparison.metric.scale
    data = {}
    for method in comparison.distilled:
        gains = [scale * gain for gain in comparison.gains(method, over=comparison.over(method))]
        data[method.name] = Spread(gains, estimate(gains))
    label = f"gain in {comparison.metric.label}{', percentage points' if comparison.metric.is_share else ''}"
    caption = (
        "What each method gains over no distillation, paired by seed. Ring: a seed; dot: their mean; bar: Student's "
        "95 % interval of that mean. A bar that reaches 0 tells nothing from no distillation."
    )
    return _figure("Gain over no distillation", caption, {}, partial(plots.spreads, data, palette, x_label=label))


def _courses(comparison: Comparison, palette: Mapping[str, Look]) -> list[Figure]:
    """Return the metric against what was spent, counted in three ways."""
    metric = comparison.metric
    teachers = {method.teacher for method in comparison.methods}
    is_shown = len(teachers) == 1 and math.isfinite(comparison.teacher)
    level = metric.scale * comparison.teacher if is_shown else None
    reached = Axis(metric.header, lambda _, record: metric.scale * record[metric.name])
    spent = {
        "V100 seconds": Axis(
            "seconds on a V100, predicted", lambda method, record: method.v100_ms * record["step"] / 1e3
        ),
        "steps": _STEPS,
        "wall time": Axis("seconds of training on this machine", lambda _, record: record["train_seconds"]),
    }
    return [_over(title, _BAND, comparison.methods, palette, x, reached, level=level) for title, x in spent.items()]


def _more(comparison: Comparison, palette: Mapping[str, Look]) -> list[Figure]:
    """Return what else the evaluations of a method hold: the held-out loss, the projector's defect."""
    said = {
        "test_loss": ("Held-out loss", "cross-entropy", f"Without the distillation term. {_BAND}"),
        "defect": ("Defect of the projector", "‖P·Pᵀ − I‖", f"Distance from orthonormal rows (Frobenius). {_BAND}"),
    }
    figures = []
    for key, (title, label, caption) in said.items():
        methods = [method for method in comparison.methods if method.has(key)]
        value = Axis(label, lambda _, record, key=key: record[key])
        if methods:
            figures.append(_over(title, caption, methods, palette, _STEPS, value, is_log=True))
    return figures


def _over(
    title: str,
    caption: str,
    methods: Sequence[Method],
    palette: Mapping[str, Look],
    x: Axis,
    y: Axis,
    *,
    is_log: bool = False,
    level: float | None = None,
) -> Figure:
    data = {}
    for method in methods:
        count = min(len(run.evaluations) for run in method.runs)  # budgets of time buy each seed its own number
        records = [run.evaluations[:count] for run in method.runs]
        data[method.name] = Curve(
            x=[[x.value(method, record) for record in each] for each in records],
            y=[[y.value(method, record) for record in each] for each in records],
        )
    draw = partial(plots.curves, data, palette, x_label=x.label, y_label=y.label, is_log=is_log, level=level)
    legend = {method.name: palette[method.name] for method in methods}
    return _figure(title, caption, legend if level is None else {**legend, "teacher": plots.LEVEL}, draw)


def _cost(comparison: Comparison) -> Figure:
    data = {method.name: method.parts_ms for method in comparison.methods}
    others = iter((COLOURS[5], COLOURS[7], COLOURS[3], COLOURS[0]))  # a task's own parts, such as a discriminator
    palette = {name: _PARTS.get(name) or next(others) for name in part_names(comparison)}
    caption = "A training step by its parts, each backward pass counted with its forward pass."
    draw = partial(plots.bars, data, palette, x_label="milliseconds a step on a V100, predicted")
    return _figure("Cost of a step on a V100", caption, {part: Look(colour) for part, colour in palette.items()}, draw)


def _figure(title: str, caption: str, legend: Mapping[str, Look], draw: Callable[[Size], str]) -> Figure:
    return Figure(title, draw(WIDE), draw(NARROW), caption, legend)
