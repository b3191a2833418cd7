"""The contract of students and teachers: an image in, logits and a spatial map of features out."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from distill.errors import ModelError


@dataclass(frozen=True)
class Output:
    """What a forward pass gives.

    logits: of the class head. distillation_logits: of the distillation head, None where there is none.
    map: the last features by place; a transformer's patch tokens on their grid, special tokens left out.
    """

    logits: Float[Tensor, "batch classes"]
    distillation_logits: Float[Tensor, "batch classes"] | None
    map: Float[Tensor, "batch dim height width"]

    @property
    def feature(self) -> Float[Tensor, "batch dim"]:
        """The map's mean over places: what is distilled pooled."""
        return self.map.mean((-2, -1))


@dataclass(frozen=True)
class Normalisation:
    """What was done to pixels in 0 … 1: (pixel − mean) / std, one number a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Wanted:
    """What a model is built for; None leaves it as the model's files have it."""

    classes: int | None = None
    image_size: int | None = None
    channels: int | None = None
    is_pretrained: bool = False

    @property
    def numbers(self) -> dict[str, int]:
        """Those that aren't None."""
        numbers = {"classes": self.classes, "image_size": self.image_size, "channels": self.channels}
        return {key: value for key, value in numbers.items() if value is not None}


# What libraries call the embeddings of places and of special tokens.
_EMBEDDINGS = frozenset(
    {
        *("position", "class_token", "distillation_token"),
        *("pos_embed", "cls_token", "dist_token", "relative_position_bias_table"),
        *("position_embeddings", "absolute_pos_embed", "reg_token"),
    }
)


class Backbone(nn.Module, ABC):
    """A classifier whose features can be distilled, as a student or a teacher.

    feature_dim: channels of its map. image_size, channels: of the images that it takes. classes: of its head.
    normalisation: of the pixels that its weights expect; None if nobody said. special: its tokens that have no place;
    they come first. is_channels_last: whether its maps are (batch, height, width, channels).
    """

    feature_dim: int
    image_size: int
    channels: int
    classes: int
    normalisation: Normalisation | None = None
    special: int = 0
    is_channels_last: bool = False

    @abstractmethod
    def forward(self, pixels: Float[Tensor, "batch channels size size"]) -> Output:
        """Return logits and features."""

    @abstractmethod
    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the class head's logits of pooled features, whosever they are (SimKD).

        Raises: ModelError where the head reads something else, such as a class token.
        """

    @abstractmethod
    def checkpointing(self, on: bool) -> None:
        """Keep only the blocks' inputs for the backward pass and compute the rest again, or stop doing so.

        Raises: ModelError if the model can't.
        """

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors, which `from_pretrained` and the library it comes from read."""

    def undecayed(self) -> list[nn.Parameter]:
        """Return the embeddings of places and special tokens: no matrices, whatever their shape, so without decay."""
        return [each for name, each in self.named_parameters() if name.rsplit(".", 1)[-1] in _EMBEDDINGS]

    @property
    def native(self) -> nn.Module:
        """The module whose state dict is exchanged and whose submodules have the names a user knows."""
        return self

    def as_map(self, inner: Tensor) -> Float[Tensor, "batch channels height width"]:
        """Return what a submodule of this model put out as a spatial map: tokens on their grid, channels first.

        Raises: ModelError if it is none.
        """
        if inner.ndim == 4:
            # Images are square, so maps are: a layer that differs from its model in this, as timm's patch embeddings
            # do, is recognised.
            _, first, second, third = inner.shape
            is_last = first == second and (self.is_channels_last or second != third)
            return inner.permute(0, 3, 1, 2) if is_last else inner
        found = _on_their_grid(inner, self.special) if inner.ndim == 3 else None
        if found is None:
            raise ModelError.no_map(type(self).__name__, inner.shape)
        return found


def _on_their_grid(
    tokens: Float[Tensor, "batch tokens dim"], special: int
) -> Float[Tensor, "batch dim height width"] | None:
    # A layer before the special tokens are added gives patch tokens alone: then none is left out.
    for skipped in (special, 0):
        count = tokens.shape[1] - skipped
        side = math.isqrt(abs(count))
        if side * side == count > 0:
            return tokens[:, skipped:].transpose(1, 2).unflatten(2, (side, side))
    return None
