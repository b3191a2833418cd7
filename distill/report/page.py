"""Write `report.html`: one file, styles and figures inside it, nothing loaded from anywhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from distill.report.plots import Curve, colours, curves
from distill.report.table import table
from distill.report.verdict import verdict
from distill.results import Comparison, Method


@dataclass(frozen=True)
class Figure:
    """A figure of the page."""

    title: str
    svg: str
    caption: str


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison to `path`, replacing it whole."""
    loader = PackageLoader("distill", "report")
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("template.html.j2")
    text = template.render(
        title=f"Comparison: {comparison.task}, recipe {comparison.recipe_name}",
        subtitle=f"{comparison.budget} a run, seeds {', '.join(map(str, comparison.seeds))}; every method starts "
        "from the same weights and sees the same labelled batches",
        verdict=[*verdict(comparison), *comparison.notes],
        table=table(comparison),
        figures=_figures(comparison),
        command=comparison.command,
        recipe=comparison.recipe,
        environment=json.dumps(comparison.environment, indent=2, ensure_ascii=False),
    )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _figures(comparison: Comparison) -> list[Figure]:
    band = "Line: mean over seeds; band: from the lowest to the highest seed."
    palette = colours([method.name for method in comparison.methods])
    metric = comparison.metric
    accuracy = _plot(comparison.methods, metric, palette, y_label=f"test {metric}")
    loss = _plot(comparison.methods, "test_loss", palette, y_label="cross-entropy", is_log=True)
    figures = [
        Figure(f"{metric.capitalize()} on the test images", accuracy, band),
        Figure(
            "Loss on the test images", loss, f"Cross-entropy with the labels, without the distillation term. {band}"
        ),
    ]
    orthogonal = [method for method in comparison.methods if method.has("defect")]
    if orthogonal:
        defect = _plot(orthogonal, "defect", palette, y_label="Frobenius norm of P·Pᵀ − I", is_log=True)
        figures.append(Figure("Defect of the projector", defect, f"Distance from orthonormal rows, float32. {band}"))
    return figures


def _plot(
    methods: Sequence[Method], key: str, palette: Mapping[str, str], *, y_label: str, is_log: bool = False
) -> str:
    data = {
        method.name: Curve(
            x=[record["step"] for record in method.runs[0].evaluations],
            y=[[record[key] for record in run.evaluations] for run in method.runs],
        )
        for method in methods
    }
    return curves(data, palette, x_label="optimiser steps", y_label=y_label, is_log=is_log)
