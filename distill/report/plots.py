"""The report's figures as inline SVG: text stays text, about 15 kB each, nothing is loaded from outside."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe & Ito 2008: told apart with every kind of colour vision.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")


@dataclass(frozen=True)
class Curve:
    """One method's values over training: x (records,), y (seeds, records)."""

    x: Sequence[float]
    y: Sequence[Sequence[float]]


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, so that a method keeps its own in every figure of a page."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def curves(
    data: Mapping[str, Curve], palette: Mapping[str, str], *, x_label: str, y_label: str, is_log: bool = False
) -> str:
    """Return an SVG of each method's mean over seeds, with the band from its lowest to its highest seed."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "stiefel-distill", "font.size": 11}):
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for label, curve in data.items():
            colour = palette[label]
            values = np.asarray(curve.y, dtype=float)
            axes.plot(curve.x, values.mean(0), color=colour, label=label, linewidth=1.8)
            axes.fill_between(curve.x, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if is_log else "linear")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9.5, loc="best")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
