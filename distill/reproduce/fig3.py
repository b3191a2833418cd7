"""Figure 3: how redundant the student's features are under a linear and an orthogonal projection."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, image, tidy
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import Measured
from distill.reproduce.methods import SHOWN, colour, entries
from distill.reproduce.redundancy import correlation, mean_correlation, singular_values
from distill.reproduce.trained import Trained
from distill.spectrum import effective_rank, spectrum

_LINEAR, _VKD = SHOWN["linear"][0], SHOWN["vkd"][0]
_IMAGES = 800
# Of the channels as many as the picture's and the JSON's matrix show; the figures are of all.
_CHANNELS = 128
_TSNE_SEED, _PERPLEXITY = 0, 30

# Of the projected features, where nothing else is said.
QUANTITIES = {
    "channel_correlation": "mean |correlation|",
    "projected_rank": "effective rank",
    "student_rank": "effective rank, unprojected",
    "projector_condition": "projector's σ₁ / σₙ",
    "silhouette": "silhouette of classes",
}


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return the two projectors of the comparison."""
    return entries(["linear", "vkd"])


def analyse(study: Study) -> Finding:
    """Measure every run, and show the first seed's features."""
    measured = study.measured(_measure, QUANTITIES)
    shown = {name: _shown(study.trained(name, study.comparison.seeds[0])) for name in measured.runs}
    figures = {**measured.figures(), "shown": {name: _as_lists(each) for name, each in shown.items()}}
    sentences = [*measured.sentences(_VKD, _LINEAR), *(_lost(measured, name) for name in measured.runs)]
    return Finding(figures, measured.table(), sentences, _picture(measured.runs, shown))


def _lost(measured: Measured, name: str) -> str:
    before, after = (measured.estimate(key, name).mean for key in ("student_rank", "projected_rank"))
    return f"{name}: the features' effective rank is {before:.1f} before the projection and {after:.1f} after it."


def _measure(run: Trained) -> dict[str, Any]:
    from sklearn.metrics import silhouette_score  # a second to import, and only this figure needs it

    pixels, labels = run.sample(_IMAGES)
    student, teacher = run.features(pixels)
    projected = run.distillation.projector(student)
    values = singular_values(run.distillation.projector, student.shape[1])
    labels = labels.repeat_interleave(len(projected) // len(labels))  # dense features are several rows an image
    return {
        "channel_correlation": mean_correlation(projected),
        "projected_rank": effective_rank(spectrum(projected)),
        "student_rank": effective_rank(spectrum(student)),
        "teacher_rank": effective_rank(spectrum(run.distillation.normalise(teacher))),
        "projector_condition": float(values[0] / values[-1]),
        "silhouette": float(silhouette_score(projected.cpu().numpy(), labels.cpu().numpy())),
        "projected_spectrum": spectrum(projected)[: student.shape[1]].tolist(),
        "student_spectrum": spectrum(student).tolist(),
        "projector_singular_values": values.tolist(),
    }


def _shown(run: Trained) -> dict[str, np.ndarray]:
    """Return what is drawn of one run: correlations of channels and the t-SNE of the projected features."""
    from sklearn.manifold import TSNE  # a second to import, and only this figure needs it

    pixels, labels = run.sample(_IMAGES)
    projected = run.distillation.projector(run.features(pixels)[0])
    # Dense features are several rows an image, of which the first ones are enough.
    rows = projected.unflatten(0, (len(labels), -1))[:, 0].cpu().numpy()
    tsne = TSNE(perplexity=min(_PERPLEXITY, len(rows) - 1), init="pca", random_state=_TSNE_SEED)
    return {
        "correlation": correlation(projected)[:_CHANNELS, :_CHANNELS].abs().cpu().numpy(),
        "tsne": np.asarray(tsne.fit_transform(rows)),
        "labels": labels.cpu().numpy(),
    }


def _as_lists(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {key: each.tolist() for key, each in arrays.items()}


def _picture(runs: Mapping[str, list[dict[str, Any]]], shown: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    picture = blank(9.5, 5.6)
    axes = picture.subplots(2, 3, width_ratios=[1, 1, 1.1])
    for row, (name, arrays) in enumerate(shown.items()):
        image(axes[row, 0], arrays["correlation"], top=1)
        axes[row, 0].set_ylabel(name, fontweight="bold")
        axes[row, 1].scatter(*arrays["tsne"].T, c=arrays["labels"], cmap="tab10", s=5, linewidths=0)
        axes[row, 1].set(xticks=[], yticks=[])
    axes[0, 0].set_title("|correlation| of projected\nchannels (0 dark, 1 bright)")
    axes[0, 1].set_title("t-SNE of projected features,\ncoloured by class")
    for key, dashes, said in (("student_spectrum", ":", ", unprojected"), ("projected_spectrum", "-", ", projected")):
        _lines(axes[0, 2], runs, key, dashes, said)
    axes[0, 2].set(yscale="log", ylim=(5e-4, 0.5), title="Singular values of features,\nshares of their sum")
    _lines(axes[1, 2], runs, "projector_singular_values", "-", "")
    axes[1, 2].set(xlabel="index", title="Singular values of the projector", ylim=(0, None))
    for each in axes[:, 2]:
        tidy(each)
        each.legend(fontsize=8)
    return picture


def _lines(axes: Axes, measured: Mapping[str, list[dict[str, Any]]], key: str, dashes: str, said: str) -> None:
    for name, runs in measured.items():
        for seed, run in enumerate(runs):
            label = f"{name}{said}" if seed == 0 else None
            places = range(1, len(run[key]) + 1)
            axes.plot(places, run[key], dashes, color=colour(name), label=label, linewidth=1.2, alpha=0.8)


EXPERIMENT = Experiment("Figure 3: redundancy of features under projections", 3, needed, analyse)
