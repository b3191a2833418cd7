"""DiffAugment: random changes of real and generated images alike, through which gradients flow.

Every change is a function of an image and of uniform numbers of its own, so a batch is one tensor operation each.
Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# Of the image's edge: how far it is moved, and the edge of the square that is cut out.
_MOVED, _CUT = 0.125, 0.5


def augment(
    images: Float[Tensor, "batch channels h w"], draws: Float[Tensor, "batch draws"], names: Sequence[str]
) -> Float[Tensor, "batch channels h w"]:
    """Return images changed as `names` say, in that order, each by its own row of `draws`.

    draws: DRAWS uniform numbers in 0 … 1 an image; each change has columns of its own, whatever else is done.
    """
    for name in names:
        first, width, change = AUGMENTATIONS[name]
        images = change(images, draws[:, first : first + width, None, None])
    return images


def _colour(images: Tensor, draws: Tensor) -> Tensor:
    """Move brightness by ±½, multiply saturation by 0 … 2 and contrast by ½ … 1½."""
    brightness, saturation, contrast = (draws[:, column, None] for column in range(3))
    images = images + brightness - 0.5
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def _translation(images: Tensor, draws: Tensor) -> Tensor:
    """Move images by up to an eighth of their edge in whole pixels; what comes in is 0."""
    for axis in (2, 3):
        edge = images.shape[axis]
        most = int(edge * _MOVED + 0.5)
        moved = (draws[:, axis - 2] * (2 * most + 1)).long() - most
        source = torch.arange(edge, device=images.device) - moved.flatten()[:, None]  # (batch, edge)
        is_inside = (source >= 0) & (source < edge)
        source, is_inside = (each.unsqueeze(1).unsqueeze(5 - axis) for each in (source.clamp(0, edge - 1), is_inside))
        images = images.gather(axis, source.expand(images.shape)) * is_inside
    return images


def _cutout(images: Tensor, draws: Tensor) -> Tensor:
    """Set a square of half the edge to 0, centred anywhere; some of it may lie outside."""
    is_cut = torch.ones((), dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        edge = images.shape[axis]
        size = int(edge * _CUT + 0.5)
        start = (draws[:, axis - 2] * (edge + 1 - size % 2)).long() - size // 2
        place = torch.arange(edge, device=images.device).view([edge if each == axis else 1 for each in range(1, 4)])
        is_cut = is_cut & (place >= start[:, None]) & (place < start[:, None] + size)
    return images * ~is_cut


# Each with the first of its columns of the draws, and how many.
AUGMENTATIONS: dict[str, tuple[int, int, Callable[[Tensor, Tensor], Tensor]]] = {
    "colour": (0, 3, _colour),
    "translation": (3, 2, _translation),
    "cutout": (5, 2, _cutout),
}
DRAWS = 7
