"""Resampling of maps by a filter that keeps them free of aliases: StyleGAN2's upfirdn, in plain torch."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# The binomial filter of StyleGAN2, along each axis.
_TAPS = (1.0, 3.0, 3.0, 1.0)


def binomial() -> Float[Tensor, "4"]:
    """Return the taps (1, 3, 3, 1)/8."""
    taps = torch.tensor(_TAPS)
    return taps / taps.sum()


def upfirdn(
    maps: Float[Tensor, "batch channels h w"],
    taps: Float[Tensor, "taps"],
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
) -> Float[Tensor, "batch channels h2 w2"]:
    """Insert up − 1 zeros after every pixel, pad with zeros, convolve with `taps` along both axes, keep each down-th.

    padding: (before, after) of both axes. The result is scaled by up², so that a constant stays itself away from
    the edges. Cost: 2 · taps multiplications a pixel of the upsampled map.
    """
    batch, channels, height, width = maps.shape
    if up > 1:
        maps = maps[:, :, :, None, :, None]
        maps = functional.pad(maps, (0, up - 1, 0, 0, 0, up - 1)).reshape(batch, channels, height * up, width * up)
    maps = functional.pad(maps, (*padding, *padding))
    kernel = (up * taps).flip(0).to(maps.dtype).expand(channels, 1, -1)
    maps = functional.conv2d(maps, kernel[:, :, :, None], stride=(down, 1), groups=channels)
    return functional.conv2d(maps, kernel[:, :, None, :], stride=(1, down), groups=channels)


def doubled(maps: Float[Tensor, "batch channels h w"], taps: Float[Tensor, "taps"]) -> Tensor:
    """Return maps of twice the edge."""
    before, after = (len(taps) + 1) // 2, (len(taps) - 2) // 2
    return upfirdn(maps, taps, up=2, padding=(before, after))


def halved(maps: Float[Tensor, "batch channels h w"], taps: Float[Tensor, "taps"]) -> Tensor:
    """Return maps of half the edge."""
    return upfirdn(maps, taps, down=2, padding=((len(taps) - 1) // 2, (len(taps) - 2) // 2))
