"""One batch of pixels for two models that expect it normalised differently."""

import torch
from torch import Tensor, nn

from distill.models.backbone import Backbone, Normalisation


def renormalise(backbone: Backbone, given: Normalisation) -> None:
    """Let the model take pixels normalised as `given`, which is what it expects if it expects nothing so far.

    They are converted, exactly but for rounding, on their way in; names, weights and what `save` writes stay.
    """
    if backbone.normalisation is None:
        backbone.normalisation = given
    elif backbone.normalisation != given:
        backbone.conversion = Conversion(given, backbone.normalisation)
        backbone.register_forward_pre_hook(_convert)


class Conversion(nn.Module):
    """Pixels (batch, channels, height, width) of one normalisation turned into those of another."""

    def __init__(self, given: Normalisation, expected: Normalisation):
        super().__init__()
        numbers = (given.mean, given.std, expected.mean, expected.std)
        mean, std, own_mean, own_std = (torch.tensor(x, dtype=torch.float64).view(-1, 1, 1) for x in numbers)
        # Constants of two recipes, not weights: checkpoints don't hold them.
        self.register_buffer("scale", (std / own_std).float(), persistent=False)
        self.register_buffer("offset", ((mean - own_mean) / own_std).float(), persistent=False)
        self.scale: Tensor
        self.offset: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels * self.scale + self.offset


def _convert(backbone: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    # Looked up on the module, not kept in a closure: a deep copy has its own, on its own device.
    return (backbone.get_submodule("conversion")(inputs[0]),)
