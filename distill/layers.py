"""Which layers of a student learn from which of its teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import RecipeError
from distill.features import intermediate
from distill.models import Backbone, Output

FINAL = "final"


@dataclass(frozen=True)
class Pair:
    """Names of submodules, as `distill.features.layer_names` lists them, or "final" for the last map."""

    student: str
    teacher: str


def parse(text: str) -> list[Pair]:
    """Return the pairs that `layers` spells: final, or student=teacher names, by commas.

    Raises: RecipeError.
    """
    pairs = []
    for word in (word.strip() for word in text.split(",")):
        student, equals, teacher = word.partition("=")
        if word != FINAL and not (student and equals and teacher):
            raise RecipeError("layers", "final, or pairs such as blocks.5=stages.2, by commas", text)
        pairs.append(Pair(FINAL, FINAL) if word == FINAL else Pair(student, teacher))
    return pairs


def run(
    backbone: Backbone, pixels: Float[Tensor, "batch c h w"], names: Sequence[str]
) -> tuple[Output, list[Float[Tensor, "batch dim height width"]]]:
    """Return a forward pass's output and the maps of the named layers.

    Raises: UnknownNameError with near names; ModelError for a layer that puts out no map.
    """
    inner = [name for name in names if name != FINAL]
    if not inner:
        output = backbone(pixels)
        return output, [output.map for _ in names]
    with intermediate(backbone, inner) as maps:
        output = backbone(pixels)
    return output, [output.map if name == FINAL else maps[name] for name in names]


@torch.no_grad()
def widths(backbone: Backbone, names: Sequence[str]) -> list[int]:
    """Return the channels of the named layers' maps, found by running a black image where a name isn't "final".

    Raises: as `run` does.
    """
    if all(name == FINAL for name in names):
        return [backbone.feature_dim for _ in names]
    was_training = backbone.training
    backbone.eval()
    _, maps = run(backbone, torch.zeros(1, backbone.channels, backbone.image_size, backbone.image_size), names)
    backbone.train(was_training)
    return [each.shape[1] for each in maps]
