"""The report's figures as inline SVG: text stays text, about 15 kB each, nothing is loaded from outside.

Each is drawn twice, for a page and for a phone, whose letters would be too small otherwise.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.statistics import Estimate

# Okabe & Ito 2008: told apart with every kind of colour vision.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
_DASHES = ("-", "--", ":", "-.")
_QUIET = "#5b6570"


@dataclass(frozen=True)
class Size:
    """Inches of a figure, at 96 pixels each where the page has the room."""

    width: float
    height: float


WIDE, NARROW = Size(7.6, 3.7), Size(3.4, 3.0)


@dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every figure of a page."""

    colour: str
    dashes: str = "-"


LEVEL = Look(_QUIET, ":")


@dataclass(frozen=True)
class Curve:
    """One method's values over training: x (seeds, records), y (seeds, records)."""

    x: Sequence[Sequence[float]]
    y: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Spread:
    """One method's values, one a seed, and their estimate, both as they are written."""

    values: Sequence[float]
    estimate: Estimate


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name: eight colours, then the same ones dashed."""
    count = len(COLOURS)
    return {
        name: Look(COLOURS[index % count], _DASHES[index // count % len(_DASHES)]) for index, name in enumerate(names)
    }


def curves(
    data: Mapping[str, Curve],
    palette: Mapping[str, Look],
    size: Size,
    *,
    x_label: str,
    y_label: str,
    is_log: bool = False,
    level: float | None = None,
) -> str:
    """Return each method's mean over seeds, with the band from its lowest to its highest seed; a line at a level."""
    with _style():
        figure, axes = _blank(size)
        for label, curve in data.items():
            look = palette[label]
            x, values = np.mean(curve.x, axis=0), np.asarray(curve.y, dtype=float)
            axes.plot(x, values.mean(0), look.dashes, color=look.colour, linewidth=1.8)
            axes.fill_between(x, values.min(0), values.max(0), color=look.colour, alpha=0.15, linewidth=0)
        if level is not None:
            axes.axhline(level, color=LEVEL.colour, linestyle=LEVEL.dashes, linewidth=1.4)
        axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if is_log else "linear")
        return _svg(figure)


def spreads(data: Mapping[str, Spread], palette: Mapping[str, Look], size: Size, *, x_label: str) -> str:
    """Return a row a method: its seeds as rings, their mean as a dot in its 95 % interval, a line at 0."""
    with _style():
        figure, axes = _rows(size, list(data))
        axes.axvline(0, color=_QUIET, linewidth=1)
        for row, (label, spread) in enumerate(data.items()):
            colour = palette[label].colour
            if spread.estimate.count > 1:
                mean, half = spread.estimate.mean, spread.estimate.half_width
                axes.plot([mean - half, mean + half], [row, row], color=colour, linewidth=2.2, alpha=0.55)
            axes.plot(spread.values, [row] * len(spread.values), "o", color=colour, fillstyle="none", markersize=5)
            axes.plot([spread.estimate.mean], [row], "o", color=colour, markersize=8)
        if axes.dataLim.x0 == 0:  # nothing lies below 0, and the line is the edge
            axes.set_xlim(left=0)
        axes.set_xlabel(x_label)
        return _svg(figure)


def bars(data: Mapping[str, Mapping[str, float]], palette: Mapping[str, str], size: Size, *, x_label: str) -> str:
    """Return a row a method, a stacked bar of its parts, each part in its colour of `palette`."""
    with _style():
        figure, axes = _rows(size, list(data))
        for row, parts in enumerate(data.values()):
            start = 0.0
            for part, colour in palette.items():
                axes.barh(row, parts.get(part, 0.0), 0.34, left=start, color=colour)
                start += parts.get(part, 0.0)
        axes.set_xlabel(x_label)
        return _svg(figure)


def _rows(size: Size, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Return axes with a row a name, the first on top, the name above its row: on a phone there is no room beside."""
    figure, axes = _blank(Size(size.width, 0.75 + 0.5 * len(names)))
    for row, name in enumerate(names):
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        # As many letters as fit, the first and the last ones: a longer name is whole in the tables.
        half = int(6.5 * size.width)
        shown = name if len(name) <= 2 * half else f"{name[:half]}…{name[-half:]}"
        box = {"facecolor": "white", "linewidth": 0, "pad": 1}
        said = axes.annotate(shown, (0, row), (2, 11), **place, bbox=box, parse_math=False)
        said.set_in_layout(False)
    axes.set_ylim(len(names) - 0.55, -0.8)
    axes.set_yticks([])
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _style() -> AbstractContextManager[None]:
    return rc_context({"svg.fonttype": "none", "svg.hashsalt": "stiefel-distill", "font.size": 10})


def _blank(size: Size) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(size.width, size.height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.locator_params(axis="x", nbins=5 if size.width < WIDE.width else 9)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
