"""Figure 4: the feature loss against input perturbation, by normalisation of the teacher's features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import band, blank, tidy
from distill.report.plots import COLOURS
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import Measured
from distill.reproduce.methods import entry
from distill.reproduce.trained import Trained

RUNS = {
    "none": entry("vkd", {"normalise": "none"}),
    "standardise": entry("vkd"),
    "whiten": entry("vkd", {"normalise": "whiten"}),
}
_COLOURS = dict(zip(RUNS, (COLOURS[0], COLOURS[2], COLOURS[4]), strict=True))
_IMAGES, _DIRECTIONS, _SEED = 128, 8, 0
# Noise along a direction in shares of the images' mean norm, and the coarser grid of the plane of two directions.
_NOISE, _PLANE = np.linspace(-1, 1, 21).tolist(), np.linspace(-1, 1, 13).tolist()
_READ_AT = 0.5

# Of the loss at that noise, along both ways of every direction, to the clean loss.
QUANTITIES = {
    "rise": f"loss ratio at noise {_READ_AT:g}",
    "spread": "spread over directions",
}


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return VkD under each normalisation."""
    return list(RUNS.values())


def analyse(study: Study) -> Finding:
    """Walk along random directions in every run, and over a plane of two in the first seed's."""
    found = study.measured(_measure, QUANTITIES)
    measured = Measured({name: found.runs[run.name] for name, run in RUNS.items()}, QUANTITIES)
    planes = {name: _plane(study.trained(run.name, study.comparison.seeds[0])) for name, run in RUNS.items()}
    figures = {**measured.figures(), "noise": _NOISE, "plane": {"noise": _PLANE, "relative_loss": planes}}
    sentences = [*measured.sentences("standardise", "none"), *measured.sentences("whiten", "none")]
    return Finding(figures, measured.table(), sentences, _picture(measured.runs, planes))


def _measure(run: Trained) -> dict[str, Any]:
    pixels, _ = run.sample(_IMAGES)
    directions = _directions(pixels, _DIRECTIONS)
    losses = np.array([[run.feature_loss(pixels + noise * each) for noise in _NOISE] for each in directions])
    clean = run.feature_loss(pixels)
    relative = losses / clean
    at = [place for place, noise in enumerate(_NOISE) if abs(abs(noise) - _READ_AT) < 1e-9]
    return {
        "clean_loss": clean,
        "relative_loss": relative.mean(0).tolist(),
        "rise": relative[:, at].mean(),
        "spread": (relative[:, at].std(0) / relative[:, at].mean(0)).mean(),
    }


def _plane(run: Trained) -> list[list[float]]:
    pixels, _ = run.sample(_IMAGES)
    one, other = _directions(pixels, 2)
    clean = run.feature_loss(pixels)
    return [[run.feature_loss(pixels + x * one + y * other) / clean for x in _PLANE] for y in _PLANE]


def _directions(pixels: Tensor, count: int) -> Tensor:
    """Return orthogonal random directions, the same for every image and run, as long as an image is on average."""
    generator = torch.Generator().manual_seed(_SEED)
    flat = torch.randn(count, pixels[0].numel(), generator=generator)
    orthonormal = torch.linalg.qr(flat.T).Q.T.to(pixels)
    return (orthonormal * pixels.flatten(1).norm(dim=1).mean()).unflatten(1, pixels.shape[1:])


def _picture(runs: Mapping[str, list[dict[str, Any]]], planes: dict[str, list[list[float]]]) -> Figure:
    picture = blank(10.5, 3.4)
    axes = picture.subplots(1, 4, width_ratios=[1.5, 1, 1, 1])
    for name, by_seed in runs.items():
        band(axes[0], _NOISE, [run["relative_loss"] for run in by_seed], colour=_COLOURS[name], label=name)
    axes[0].set(xlabel="noise / mean norm of an image", ylabel="feature loss / clean loss", title="Along directions")
    axes[0].legend(title="teacher's features")
    tidy(axes[0])
    top = max(np.max(plane) for plane in planes.values())
    levels = np.geomspace(1, max(top, 1.01), 12)
    filled = None
    for each, (name, plane) in zip(axes[1:], planes.items(), strict=True):
        filled = each.contourf(_PLANE, _PLANE, np.maximum(plane, 1), levels=levels, cmap="viridis")
        each.set(title=name, xlabel="direction 1", aspect="equal")
        each.set_xticks([-1, 0, 1])
        each.set_yticks([-1, 0, 1])
    axes[1].set_ylabel("direction 2")
    assert filled is not None
    picture.colorbar(filled, ax=axes[1:], shrink=0.7, label="loss / clean loss", format="%.1f")
    return picture


EXPERIMENT = Experiment("Figure 4: feature loss against input perturbation", 3, needed, analyse)
