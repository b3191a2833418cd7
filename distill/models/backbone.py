"""The contract of students and teachers: an image in, logits and a spatial map of features out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


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


class Backbone(nn.Module, ABC):
    """A classifier whose features can be distilled, as a student or a teacher.

    feature_dim: channels of its map. image_size, channels: of the images that it takes.
    """

    feature_dim: int
    image_size: int
    channels: int

    @abstractmethod
    def forward(self, pixels: Float[Tensor, "batch channels size size"]) -> Output:
        """Return logits and features."""

    @abstractmethod
    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the class head's logits of pooled features, whosever they are (SimKD)."""

    @abstractmethod
    def as_map(self, inner: Tensor) -> Float[Tensor, "batch channels height width"]:
        """Return what a submodule of this model put out as a spatial map: tokens on their grid, channels first."""
