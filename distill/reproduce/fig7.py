"""Figure 7: what the class token of the student's last block attends to, beside the teacher's energy map."""

from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, image
from distill.reproduce.attention import agreement, attention_maps, energy
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.methods import entries
from distill.reproduce.trained import Trained, in_parts

_IMAGES, _SHOWN = 800, 8

# Of the map of attention with the teacher's map of energy; exp of the attention's entropy.
QUANTITIES = {
    "teacher_correlation": "correlation with teacher",
    "patches_attended": "patches attended to",
}


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return the student without distillation, and by each of the two projectors."""
    return entries(["none", "linear", "vkd"])


def analyse(study: Study) -> Finding:
    """Measure every run; show the first seed's maps."""
    measured = study.measured(_measure, QUANTITIES)
    shown = {name: _maps(study.trained(name, study.comparison.seeds[0])) for name in measured.runs}
    maps = {name: {key: each.tolist() for key, each in kinds.items()} for name, kinds in shown.items()}
    figures = {**measured.figures(), "maps": maps}
    return Finding(figures, measured.table(), measured.all_sentences(), _picture(shown))


def class_attention(run: Trained, pixels: Tensor) -> Float[Tensor, "batch h w"]:
    """Return the last block's attention from the class token to the patches, the mean of its heads, summing to 1."""
    grid = run.student(pixels[:1]).map.shape[-2:]
    weights = in_parts(lambda part: attention_maps(run.student, part)[-1].mean(1), pixels)
    among = weights[:, 0, -grid[0] * grid[1] :]
    return (among / among.sum(-1, keepdim=True)).unflatten(1, grid)


def _measure(run: Trained) -> dict[str, Any]:
    pixels, _ = run.sample(_IMAGES)
    attention = class_attention(run, pixels)
    entropy = torch.special.entr(attention.flatten(1)).sum(1)
    return {
        "teacher_correlation": agreement(attention, energy(run.maps(pixels)[1])),
        "patches_attended": float(entropy.exp().mean()),
    }


def _maps(run: Trained) -> dict[str, Tensor]:
    pixels, _ = run.sample(_SHOWN)
    attention, taught = class_attention(run, pixels), energy(run.maps(pixels)[1])
    return {"image": pixels.mean(1).cpu(), "teacher": taught.cpu(), "attention": attention.cpu()}


def _picture(shown: dict[str, dict[str, Tensor]]) -> Figure:
    one = next(iter(shown.values()))
    columns = {"image": one["image"], "teacher's energy": one["teacher"]}
    columns |= {name: maps["attention"] for name, maps in shown.items()}
    count = len(one["image"])
    picture = blank(1.05 * count + 1.4, 1.05 * len(columns) + 0.5)
    axes = picture.subplots(len(columns), count)
    for row, (name, maps) in enumerate(columns.items()):
        for column in range(count):
            image(axes[row, column], maps[column].numpy(), colours="gray" if row == 0 else "viridis")
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    return picture


EXPERIMENT = Experiment("Figure 7: attention of the class token", 3, needed, analyse)
