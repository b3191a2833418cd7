"""Pictures as PNG files in the report's style: intervals as dots, bands over seeds, the command under the picture."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.run_folder import write_atomically
from distill.statistics import Estimate, estimate

_DPI = 100
_QUIET = "#5b6570"


def style() -> AbstractContextManager[None]:
    """Return the context in which a picture is drawn and saved."""
    return rc_context({"font.size": 10, "axes.titlesize": 10.5, "axes.titleweight": "bold", "legend.frameon": False})


def blank(width: float, height: float) -> Figure:
    """Return an empty picture, its edges in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save(picture: Figure, path: Path, command: str) -> None:
    """Write a picture as PNG, whole or not at all, the command that made it under it."""
    picture.supxlabel(command, fontsize=8, color=_QUIET, family="monospace")
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def tidy(axes: Axes) -> None:
    """Leave of a plot's frame what is read: two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def dots(axes: Axes, names: Sequence[str], values: Sequence[Estimate], colours: Sequence[str], *, scale: float) -> None:
    """Draw a row a name, the first on top: the mean over seeds as a dot in its 95 % interval."""
    for row, (value, colour) in enumerate(zip(values, colours, strict=True)):
        width = None if value.count < 2 else scale * value.half_width
        axes.errorbar(scale * value.mean, row, xerr=width, fmt="o", color=colour, capsize=3, linewidth=1.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    tidy(axes)
    axes.grid(axis="y", visible=False)


def band(
    axes: Axes, x: Sequence[float], values: Sequence[Sequence[float]], *, colour: str, label: str, dashes: str = "-"
) -> None:
    """Draw the mean of curves (seeds, points) and the 95 % interval of that mean at each point."""
    at_points = [estimate(column) for column in np.asarray(values, dtype=float).T.tolist()]
    mean = np.array([value.mean for value in at_points])
    half = np.nan_to_num([value.half_width for value in at_points])
    axes.plot(x, mean, dashes, color=colour, label=label, linewidth=1.8)
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)


def image(
    axes: Axes, pixels: np.ndarray, *, title: str = "", colours: str = "viridis", top: float | None = None
) -> None:
    """Draw a matrix as an image without ticks, from 0 to `top` if that is given."""
    axes.imshow(pixels, cmap=colours, vmin=None if top is None else 0, vmax=top, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title)
