"""Figure 6: the convolutional teacher's bias in the transformer student, as numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, dots, tidy
from distill.reproduce.attention import agreement, attention_distance, attention_maps, energy, uniform_distance
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import Measured
from distill.reproduce.methods import colour, entries
from distill.reproduce.trained import Trained, in_parts
from distill.results import BASELINE

_IMAGES = 800
_SHIFTS = ((0, 1), (0, -1), (1, 0), (-1, 0))
_QUIET = "#5b6570"

QUANTITIES = {
    "distance": "attention distance, px",
    "shift_agreement": "kept after 1 px shift",
    "energy_correlation": "energy correlation",
}


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return the student without distillation, and by each of the two projectors."""
    return entries(["none", "linear", "vkd"])


def analyse(study: Study) -> Finding:
    """Measure every run and compare the students, paired by seed."""
    measured = study.measured(_measure, QUANTITIES)
    run = measured.runs[BASELINE][0]
    reference = (
        f"For comparison: the teacher keeps {run['teacher_shift_agreement']:.3f} of its decisions after a shift, and "
        f"attention to every patch alike has distance {run['uniform_distance']:.3f}."
    )
    sentences = [*measured.all_sentences(), reference]
    return Finding(measured.figures(), measured.table(), sentences, _picture(measured))


def kept_after_shift(logits: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    """Return the share of images whose class stays what it was when they move by one pixel, the edge repeated."""
    decided = in_parts(logits, pixels).argmax(-1)
    height, width = pixels.shape[-2:]
    padded = functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    moved = [padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width] for down, right in _SHIFTS]
    return float(torch.stack([in_parts(logits, each).argmax(-1) == decided for each in moved]).float().mean())


def _measure(run: Trained) -> dict[str, Any]:
    pixels, _ = run.sample(_IMAGES)
    student, teacher = run.maps(pixels)
    grid = (student.shape[-2], student.shape[-1])
    patch = pixels.shape[-1] / grid[-1]
    distances = in_parts(lambda part: attention_distance(attention_maps(run.student, part), grid, patch), pixels)
    distances = distances.mean(0)  # (layers, heads)
    return {
        "distance": float(distances.mean()),
        "distance_by_layer_and_head": distances.tolist(),
        "uniform_distance": uniform_distance(grid, patch),
        "shift_agreement": kept_after_shift(run.distilled.logits, pixels),
        "teacher_shift_agreement": kept_after_shift(lambda shifted: run.teacher(shifted).logits, pixels),
        "energy_correlation": agreement(energy(student), energy(teacher)),
    }


def _picture(measured: Measured) -> Figure:
    picture = blank(10.5, 3.4)
    axes = picture.subplots(1, 3, width_ratios=[1.3, 1, 1])
    _distance(axes[0], measured.runs)
    names, colours = list(measured.runs), [colour(name) for name in measured.runs]
    for each, key, scale in ((axes[1], "shift_agreement", 100), (axes[2], "energy_correlation", 1)):
        dots(each, names, [measured.estimate(key, name) for name in names], colours, scale=scale)
    axes[1].axvline(100 * measured.runs[BASELINE][0]["teacher_shift_agreement"], color=_QUIET, linestyle=":")
    axes[1].set(title="Same decision after a\none-pixel shift", xlabel="test images, % (dotted: teacher)")
    axes[2].axvline(0, color=_QUIET, linewidth=0.8)
    axes[2].set(title="Student's and teacher's\nenergy maps", xlabel="correlation over places")
    axes[2].tick_params(labelleft=False)
    return picture


def _distance(axes: Axes, measured: Mapping[str, list[dict[str, Any]]]) -> None:
    """Draw each head's distance as a dot and each method's mean as a line over layers."""
    layers = range(1, len(measured[BASELINE][0]["distance_by_layer_and_head"]) + 1)
    for place, (name, runs) in enumerate(measured.items()):
        distances = torch.tensor([run["distance_by_layer_and_head"] for run in runs])  # (seeds, layers, heads)
        offset = 0.12 * (place - (len(measured) - 1) / 2)
        heads = distances.transpose(0, 1).flatten(1)
        axes.plot(layers, distances.mean((0, 2)), color=colour(name), label=name, linewidth=1.8)
        for layer, each in zip(layers, heads, strict=True):
            axes.plot([layer + offset] * len(each), each, ".", color=colour(name), alpha=0.35, markersize=5)
    axes.axhline(measured[BASELINE][0]["uniform_distance"], color=_QUIET, linestyle=":", label="uniform attention")
    axes.set_xticks(layers)
    axes.set(title="Attention distance\n(dots: heads of all seeds)", xlabel="block", ylabel="pixels")
    axes.legend(fontsize=8)
    tidy(axes)


EXPERIMENT = Experiment("Figure 6: convolutional bias in the student", 5, needed, analyse)
