"""The figures: gap against time, flops and iterations; performance profiles; defect against gap; drift."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.convergence.judge import Entry
from benchmarks.convergence.results import Line
from benchmarks.convergence.watch import TARGETS
from distill.report.plots import COLOURS

# More curves than these can't be told apart: the others are drawn in grey.
COLOURED = len(COLOURS)
FAMILIES = ("stiefel", "geoopt", "torch", "geotorch", "pymanopt", "none")
_LEAST_GAP = 1e-12


def convergence(entries: Sequence[Entry]) -> Figure:
    """Draw the gap of one problem's methods against time, flops and iterations: the median seed of each."""
    figure = Figure(figsize=(12.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    chosen = [entry for entry in entries if entry.is_ranked]
    axes_of: list[tuple[Axes, str, Callable[[Entry, Line], list[float]]]] = [
        (panels[0], "seconds of the method", lambda entry, run: run["curve"]["seconds"]),
        (panels[1], "flops", _flops),
        (panels[2], "iterations", lambda entry, run: run["curve"]["iteration"]),
    ]
    for axes, label, along in axes_of:
        for index, entry in reversed(list(enumerate(chosen))):
            run = _median_run(entry)
            gaps = [max(float(gap), _LEAST_GAP) for gap in run["curve"]["gap"]]
            is_best = index < COLOURED
            axes.plot(
                along(entry, run),
                gaps,
                color=COLOURS[index] if is_best else "#c8cdd2",
                linewidth=1.7 if is_best else 0.7,
                linestyle="-" if entry.family == FAMILIES[0] or not is_best else "--",
                label=entry.method if is_best else None,
                zorder=2.5 if is_best else 1,
            )
        axes.set(xlabel=label, xscale="log", yscale="log")
        for target in TARGETS:
            axes.axhline(target, color="#9aa3ab", linewidth=0.5, linestyle=":")
        _plain(axes)
    panels[0].set_ylabel("share of the gap left")
    if chosen:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def profiles(entries: Sequence[Entry]) -> Figure:
    """Draw Dolan & Moré's performance profiles: the share of runs solved within a factor of the quickest method."""
    figure = Figure(figsize=(12.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(TARGETS), sharey=True)
    ratios = {target: performance_ratios(entries, target) for target in TARGETS}
    everyone = ratios[TARGETS[0]]
    score = {name: -sum(sum(1 / r for r in ratios[target].get(name, [])) for target in TARGETS) for name in everyone}
    best = sorted(score, key=lambda name: score[name])[:COLOURED]
    factors = np.logspace(0, 2, 200)
    for axes, target in zip(panels, TARGETS, strict=True):
        for name, values in ratios[target].items():
            shares = [sum(value <= factor for value in values) / max(len(values), 1) for factor in factors]
            is_best = name in best
            colour = COLOURS[best.index(name)] if is_best else "#c8cdd2"
            axes.plot(factors, shares, color=colour, linewidth=1.7 if is_best else 0.6, label=name if is_best else None)
        axes.set(xscale="log", xlabel="times the quickest method's seconds", title=f"to a gap of {target:.0e}")
        _plain(axes)
    panels[0].set_ylabel("share of problems and seeds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def performance_ratios(entries: Sequence[Entry], target: float) -> dict[str, list[float]]:
    """Return for each method its time over the quickest one's, on every problem and seed that anybody solved.

    Only ranked entries count as solving; a method that is flagged, censored or wasn't run there has inf.
    Source: Dolan & Moré 2002.
    """
    times: dict[tuple[str, int], dict[str, float]] = {}
    for entry in entries:
        for run, seconds in zip(entry.runs, entry.reached(target), strict=True):
            times.setdefault((entry.problem, run.get("seed", 0)), {})[entry.method] = (
                seconds if entry.is_ranked else math.inf
            )
    names = list(dict.fromkeys(entry.method for entry in entries))
    solved = [each for each in times.values() if any(math.isfinite(value) for value in each.values())]
    return {name: [each.get(name, math.inf) / min(each.values()) for each in solved] for name in names}


def defects(entries: Sequence[Entry]) -> Figure:
    """Draw the worst defect of every method on every problem against the gap that it ended at."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for family, colour in zip(FAMILIES, COLOURS, strict=False):
        points = [
            (max(entry.last_gap, _LEAST_GAP), entry.worst_defect)
            for entry in entries
            if entry.family == family and not entry.is_left_out
        ]
        finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y) and y > 0]
        if finite:
            label = "no manifold" if family == "none" else family
            axes.scatter(*zip(*finite, strict=True), s=14, color=colour, label=label, alpha=0.75, linewidths=0)
    axes.set(xscale="log", yscale="log", xlabel="share of the gap left at the end", ylabel="worst defect of an iterate")
    _plain(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


def drift(lines: Sequence[Line]) -> Figure:
    """Draw the defect after powers of ten of steps."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for index, line in enumerate(lines):
        steps = [int(step) for step in line["defects"]]
        style = ("-", "--", ":")[index // COLOURED % 3]
        values = list(line["defects"].values())
        axes.plot(steps, values, color=COLOURS[index % COLOURED], linestyle=style, marker=".", label=line["method"])
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="defect, n·eps of float32")
    _plain(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def save(figure: Figure, png: Path) -> str:
    """Write a figure as PNG and return it as inline SVG, its text as text."""
    figure.savefig(png, dpi=110, metadata={"Software": None})
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "stiefel-distill"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _flops(entry: Entry, run: Line) -> list[float]:
    rate = float(entry.cost.get("flops_per_evaluation", math.nan))
    return [count * rate for count in run["curve"]["evaluations"]]


def _median_run(entry: Entry) -> Line:
    """Return the run that ended in the middle: by gap, and among those that converged by time."""
    finished = [run for run in entry.runs if run["last"]]
    finished.sort(key=lambda run: (max(float(run["last"]["gap"]), TARGETS[-1]), float(run["last"]["seconds"])))
    return finished[len(finished) // 2]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
