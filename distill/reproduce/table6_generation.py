"""Table 6 for generation: projector × normalisation at the least fraction, and what whitening changes."""

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from distill.compare import TEACHER
from distill.generation.config import GenerationConfig
from distill.generation.data import real_images
from distill.generation.distillation import whitening
from distill.generation.teachers import encoder_of
from distill.grid import Entry
from distill.processes import Processes
from distill.report.picture import blank, tidy
from distill.report.plots import COLOURS
from distill.report.table import Table, plus_minus
from distill.reproduce import generated
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import difference
from distill.spectrum import effective_rank, spectrum
from distill.statistics import estimate, paired_difference

_PROJECTORS, _NORMALISATIONS = ("linear", "orthogonal"), ("none", "standardise", "whiten")
_PAPERS = ("orthogonal", "whiten")


def needed(config: GenerationConfig) -> list[Entry]:
    """Return the grid at the least fraction, and the run without distillation."""
    return [generated.entry(config, "none", _fraction(config)), *(_entry(config, *cell) for cell in _cells())]


def analyse(study: Study) -> Finding:
    """Take the grid's differences along both axes, paired by seed, and the spectrum of the teacher's features."""
    found = {cell: generated.values(study, _entry(study.config, *cell).name, "fid") for cell in _cells()}
    steps = [(("linear", each), ("orthogonal", each)) for each in _NORMALISATIONS]
    steps += [((each, "none"), (each, other)) for each, other in product(_PROJECTORS, _NORMALISATIONS[1:])]
    said = [
        difference("Distance", _said(one), _said(two), paired_difference(found[one], found[two])) for one, two in steps
    ]
    spectra = _spectra(study)
    ranks = {name: effective_rank(shares) for name, shares in spectra.items()}
    said.append(f"Effective rank of the teacher's features: {', '.join(f'{n} {r:.1f}' for n, r in ranks.items())}.")
    figures: dict[str, Any] = {
        "runs": generated.as_json(study, ["fid", "kid"]),
        "effective_rank": ranks,
        "spectrum": {name: shares.tolist() for name, shares in spectra.items()},
    }
    said.append(generated.samples(study))
    return Finding(figures, _table(study, found), said, _picture(found, spectra))


def _fraction(config: GenerationConfig) -> float:
    return min(generated.fractions(config))


def _cells() -> list[tuple[str, str]]:
    return list(product(_PROJECTORS, _NORMALISATIONS))


def _entry(config: GenerationConfig, projector: str, normalise: str) -> Entry:
    # The paper's own cell is table 4's run.
    keys = {} if (projector, normalise) == _PAPERS else {"projector": projector, "normalise": normalise}
    return generated.entry(config, "vkd_whiten", _fraction(config), keys)


def _said(cell: tuple[str, str]) -> str:
    return f"({cell[0]}, {cell[1]})"


def _spectra(study: Study) -> dict[str, Tensor]:
    """Return the spectrum of the teacher's features of the images that the grid learns from, and of them whitened."""
    config = study.config
    alone = Processes(device=config.device, is_alone=True)
    learnt = replace(config.data, fraction=_fraction(config))
    train, _ = real_images(learnt, seed=study.comparison.seeds[0])
    encoder = encoder_of(config, train, study.folder / TEACHER, alone)
    batches = (batch["pixels"].to(config.device) for batch in train.evaluation(config.data.batch_size))
    features = torch.cat([encoder(pixels) for pixels in batches]).cpu()
    return {"before whitening": spectrum(features), "after": spectrum(whitening(config, features.shape[1])(features))}


def _table(study: Study, found: dict[tuple[str, str], list[float]]) -> Table:
    rows = [
        [name, *(plus_minus(estimate(found[name, each]), scale=1, digits=3) for each in _NORMALISATIONS)]
        for name in _PROJECTORS
    ]
    baseline = generated.values(study, generated.entry_name("none", _fraction(study.config)), "fid")
    without = plus_minus(estimate(baseline), scale=1, digits=3)
    note = f"± is the half-width of Student's 95 % interval over seeds. No distillation: {without}."
    return Table(["projector", *_NORMALISATIONS], rows, f"{note} {generated.samples(study)}")


def _picture(found: dict[tuple[str, str], list[float]], spectra: dict[str, Tensor]) -> Figure:
    drawn = blank(9, 3.6)
    left, right = drawn.subplots(1, 2)
    for place, name in enumerate(_PROJECTORS):
        values = [estimate(found[name, each]) for each in _NORMALISATIONS]
        left.errorbar(
            [column + 0.1 * (place - 0.5) for column in range(len(values))],
            [value.mean for value in values],
            yerr=None if values[0].count < 2 else [value.half_width for value in values],
            fmt="o",
            color=COLOURS[1 + place],
            capsize=3,
            label=name,
        )
    left.set_xticks(range(len(_NORMALISATIONS)), _NORMALISATIONS)
    left.set(xlabel="normalisation of the teacher's features", ylabel="Fréchet distance", xlim=(-0.5, 2.5))
    for place, (name, shares) in enumerate(spectra.items()):
        right.plot(range(1, len(shares) + 1), shares.clamp_min(1e-6), color=COLOURS[3 + place], label=name)
    right.set(yscale="log", xlabel="index", title="Singular values of the teacher's features,\nshares of their sum")
    for each in (left, right):
        each.legend(fontsize=8)
        tidy(each)
    return drawn


EXPERIMENT = Experiment(
    "Table 6 of generation: projector × normalisation", 3, needed, analyse, generated.TASK, ("data.fraction",)
)
