"""One batch of pixels for two models that expect it normalised differently."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.models.backbone import Backbone, Normalisation, Output


def renormalise(backbone: Backbone, given: Normalisation) -> Backbone:
    """Return the model for pixels normalised as `given`: itself where it expects that or nothing in particular."""
    if backbone.normalisation is None:
        backbone.normalisation = given
    return backbone if backbone.normalisation == given else Renormalised(backbone, backbone.normalisation, given)


class Renormalised(Backbone):
    """A backbone that takes pixels normalised by other statistics than its own, and converts them exactly."""

    def __init__(self, backbone: Backbone, expected: Normalisation, given: Normalisation):
        super().__init__()
        self.backbone, self.normalisation = backbone, given
        self.feature_dim, self.image_size = backbone.feature_dim, backbone.image_size
        self.channels, self.classes = backbone.channels, backbone.classes
        self.special, self.is_channels_last = backbone.special, backbone.is_channels_last
        mean, std, own_mean, own_std = (
            torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
            for values in (given.mean, given.std, expected.mean, expected.std)
        )
        # Constants of the two recipes, not weights: checkpoints don't hold them.
        self.register_buffer("scale", (std / own_std).float(), persistent=False)
        self.register_buffer("offset", ((mean - own_mean) / own_std).float(), persistent=False)
        self.scale: Tensor
        self.offset: Tensor

    def forward(self, pixels: Float[Tensor, "batch channels size size"]) -> Output:
        return self.backbone(pixels * self.scale + self.offset)

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        return self.backbone.classify(feature)

    def checkpointing(self, on: bool) -> None:
        self.backbone.checkpointing(on)

    def save(self, folder: Path) -> None:
        self.backbone.save(folder)

    @property
    def native(self) -> nn.Module:
        return self.backbone.native
