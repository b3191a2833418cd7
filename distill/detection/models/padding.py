"""Where a batch's images end: masks at the size of a map, and places counted within the image."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

_TEMPERATURE = 10000.0
_EPS = 1e-6


def resize(padding: Bool[Tensor, "batch h w"], size: tuple[int, int]) -> Bool[Tensor, "batch _ _"]:
    """Return the mask at another size; a place is padding where the pixel at its top left corner is.

    An image that begins at its batch's top left corner so keeps at least one place in every map.
    """
    return functional.interpolate(padding[None].float(), size=size)[0].bool()


def valid_ratios(padding: Bool[Tensor, "batch h w"]) -> Float[Tensor, "batch 2"]:
    """Return the share of the width and of the height that isn't padding."""
    inside = ~padding
    return torch.stack([inside[:, 0].float().mean(1), inside[:, :, 0].float().mean(1)], -1)


def sine_positions(padding: Bool[Tensor, "batch h w"], dim: int) -> Float[Tensor, "batch h w dim"]:
    """Return sines and cosines of each place's row and column, counted from 0 to 2π within the image.

    The first half of the channels tells the row, the second the column; frequencies fall from 1 to 1/10000.
    Source: Carion et al., "End-to-end object detection with transformers", ECCV 2020, as ViDT's body has it.
    """
    inside = (~padding).float()
    rows, columns = inside.cumsum(1), inside.cumsum(2)
    rows = rows / (rows[:, -1:] + _EPS) * (2 * math.pi)
    columns = columns / (columns[:, :, -1:] + _EPS) * (2 * math.pi)
    # A sine and a cosine share a frequency, and lie side by side.
    exponents = torch.arange(0, dim // 2, 2, device=padding.device) / (dim // 2)
    waves = _TEMPERATURE**exponents
    angles = torch.stack([rows, columns], -1)[..., None] / waves  # (batch, h, w, 2, dim / 4)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-3)
