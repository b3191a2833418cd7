"""What is done to a batch of normalised images: shifts, mirrors, erasing, mixup and cutmix, soft labels."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt32
from torch import Tensor
from torch.nn import functional

from distill.config import Data

# Random erasing as DeiT has it: a rectangle's share of the image, its aspect, and the tries to place one.
_ERASED_SHARE, _ERASED_ASPECT, _TRIES = (0.02, 1 / 3), (0.3, 1 / 0.3), 10


def random_shift(
    pixels: Float[Tensor, "n channels height width"], most: int, words: UInt32[np.ndarray, "n"]
) -> Float[Tensor, "n channels height width"]:
    """Return each image moved by −most … most whole pixels both ways as its word says; the edge is repeated."""
    if most == 0:
        return pixels
    count, _, height, width = pixels.shape
    padded = functional.pad(pixels, (most,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (n, channels, 2·most + 1, 2·most + 1, height, width)
    right, down = (
        torch.from_numpy(way.astype(np.int64)) for way in np.divmod(words % (2 * most + 1) ** 2, 2 * most + 1)
    )
    return windows[torch.arange(count), :, down, right]


def random_mirror(
    pixels: Float[Tensor, "n channels height width"], words: UInt32[np.ndarray, "n"]
) -> Float[Tensor, "n channels height width"]:
    """Return the images with left and right exchanged in those whose word is odd: half of them."""
    is_odd = torch.from_numpy(words % 2 == 1).to(pixels.device)
    return torch.where(is_odd[:, None, None, None], pixels.flip(-1), pixels)


def erase(
    pixels: Float[Tensor, "n channels height width"], probability: float, words: UInt32[np.ndarray, "n"]
) -> Float[Tensor, "n channels height width"]:
    """Fill a rectangle of some of the images with normal noise, in place, and return them.

    Source: Zhong et al., "Random erasing data augmentation", AAAI 2020, with DeiT's noise a pixel.
    """
    for place in np.flatnonzero(words < probability * 2**32):
        generator = torch.Generator().manual_seed(int(words[place]))
        _erase_one(pixels[int(place)], generator)
    return pixels


def soft_labels(labels: Int[Tensor, "n"], classes: int, smoothing: float) -> Float[Tensor, "n classes"]:
    """Return labels as probabilities, with a share `smoothing` spread over all classes."""
    return functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def mix(
    pixels: Float[Tensor, "n channels height width"],
    labels: Float[Tensor, "n classes"],
    data: Data,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "n channels height width"], Float[Tensor, "n classes"]]:
    """Return images mixed with their neighbours, 0 with 1, 2 with 3, …, and labels in the same shares.

    One draw a batch decides between mixup, cutmix and neither. The pixels may be overwritten.
    Source: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.
    """
    # Everything is drawn, used or not: the next draw's place doesn't depend on what this one decided.
    is_mixed, is_cut = generator.random() < data.mix_prob, generator.random() < data.mix_switch
    if not is_mixed or data.mixup == data.cutmix == 0:
        return pixels, labels
    neighbour = (torch.arange(len(pixels)) ^ 1).clamp(max=len(pixels) - 1).to(pixels.device)
    if data.mixup == 0 or (data.cutmix > 0 and is_cut):
        rows, columns, share = _box(pixels.shape[-2:], generator.beta(data.cutmix, data.cutmix), generator)
        pixels[:, :, rows, columns] = pixels[neighbour, :, rows, columns]
    else:
        share = generator.beta(data.mixup, data.mixup)
        pixels = torch.lerp(pixels[neighbour], pixels, share)
    return pixels, torch.lerp(labels[neighbour], labels, share)


def _box(size: torch.Size, kept: float, generator: np.random.Generator) -> tuple[slice, slice, float]:
    """Return the rows and columns of a rectangle anywhere, cut at the image's edge, and the share left outside it."""
    sides = []
    for edge in size:
        half, centre = int(edge * math.sqrt(1 - kept)) // 2, int(generator.integers(edge))
        sides.append(slice(max(0, centre - half), min(edge, centre + half)))
    rows, columns = sides
    return rows, columns, 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / math.prod(size)


def _erase_one(image: Float[Tensor, "channels height width"], generator: torch.Generator) -> None:
    channels, height, width = image.shape
    for _ in range(_TRIES):
        area, aspect, down, right = torch.rand(4, generator=generator).tolist()
        area = height * width * (_ERASED_SHARE[0] + area * (_ERASED_SHARE[1] - _ERASED_SHARE[0]))
        aspect = _ERASED_ASPECT[0] * (_ERASED_ASPECT[1] / _ERASED_ASPECT[0]) ** aspect
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < rows < height and 0 < columns < width:
            top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
            noise = torch.randn((channels, rows, columns), generator=generator)
            image[:, top : top + rows, left : left + columns] = noise.to(image)
            return
