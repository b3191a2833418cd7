"""StyleGAN2: mapping network, skip generator, residual discriminator with the batch's deviation; without classes.

Source: Karras et al., CVPR 2020; sizes at 256 pixels as in NVIDIA's own configuration for them ("paper256").
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.errors import ModelError
from distill.generation.models.equalised import Convolution, Linear, leaky
from distill.generation.models.modulated import StyledLayer, ToPixels
from distill.generation.models.networks import Discriminator, Judgement, StyledGenerator
from distill.generation.models.resample import binomial, doubled

_START = 4
# A second latent's styles take over at a random layer in this share of the batches.
_MIXED = 0.9
# The mapping network learns at a hundredth of the rate.
_MAPPING_RATE = 0.01
_FLOOR = 1e-8


def large(classes: int, image_size: int, channels: int) -> tuple[StyledGenerator, Discriminator]:
    """Return the networks of few-shot images of 256 pixels: 24.8 M and 24.0 M parameters."""
    return _pair(classes, image_size, channels, base=16384, most=512, style_dim=512, depth=8, group=8)


def small(classes: int, image_size: int, channels: int) -> tuple[StyledGenerator, Discriminator]:
    """Return networks for images of 32 pixels that train on a CPU."""
    return _pair(classes, image_size, channels, base=1024, most=64, style_dim=64, depth=2, group=4)


def _pair(
    classes: int, image_size: int, channels: int, *, base: int, most: int, style_dim: int, depth: int, group: int
) -> tuple[StyledGenerator, Discriminator]:
    """Return networks of min(most, base/edge) channels at each edge."""
    if classes:
        raise ModelError("stylegan2", "it is made without classes", cure="set conditional: false, or take a biggan")
    edges = [_START << level for level in range(max(1, (image_size // _START).bit_length()))]
    if edges[-1] != image_size or len(edges) < 2:
        reason = f"expected an image size of 8, 16, 32 … pixels, got {image_size}"
        raise ModelError("stylegan2", reason, cure="set data.image_size to one of these")
    widths = {edge: min(most, base // edge) for edge in edges}
    return (
        StyleGAN2Generator(widths, channels, style_dim=style_dim, depth=depth),
        StyleGAN2Discriminator(widths, channels, group=group),
    )


class StyleGAN2Generator(StyledGenerator):
    """widths: channels of the maps of each edge, in order of growing edges."""

    def __init__(self, widths: dict[int, int], channels: int, *, style_dim: int, depth: int):
        super().__init__()
        edges = list(widths)
        self.latent_dim, self.classes, self.image_size = style_dim, 0, edges[-1]
        self.mapping = nn.ModuleList(Linear(style_dim, style_dim, rate=_MAPPING_RATE) for _ in range(depth))
        self.start = nn.Parameter(torch.randn(widths[_START], _START, _START))
        layers = [StyledLayer(widths[_START], widths[_START], style_dim, _START)]
        for half, edge in pairwise(edges):
            layers += [
                StyledLayer(widths[half], widths[edge], style_dim, edge, is_doubling=True),
                StyledLayer(widths[edge], widths[edge], style_dim, edge),
            ]
        self.layers = nn.ModuleList(layers)
        self.pixels = nn.ModuleList(ToPixels(width, channels, style_dim) for width in widths.values())
        self.register_buffer("taps", binomial(), persistent=False)
        self.taps: Tensor

    def styles(
        self, latent: Float[Tensor, "batch latent"], *, drawn: torch.Generator | None = None
    ) -> Float[Tensor, "batch layers style"]:
        count = len(self.layers) + 1
        styles = self._mapped(latent)[:, None].expand(-1, count, -1)
        if drawn is None:
            return styles
        others = torch.randn(latent.shape, generator=drawn, device=drawn.device).to(latent)
        chance, place = torch.rand(2, generator=drawn, device=drawn.device).tolist()
        first = 1 + int(place * (count - 1)) if chance < _MIXED else count
        return torch.cat([styles[:, :first], self._mapped(others)[:, None].expand(-1, count - first, -1)], 1)

    def synthesise(
        self, styles: Float[Tensor, "batch layers style"], *, drawn: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels size size"]:
        maps = self.layers[0](self.start.expand(len(styles), -1, -1, -1), styles[:, 0], drawn)
        # The styles of a level's first convolution read the same entry as those of the pixels before it.
        pixels = self.pixels[0](maps, styles[:, 1])
        for level in range(1, len(self.pixels)):
            first = 2 * level - 1
            maps = self.layers[first](maps, styles[:, first], drawn)
            maps = self.layers[first + 1](maps, styles[:, first + 1], drawn)
            pixels = doubled(pixels, self.taps) + self.pixels[level](maps, styles[:, first + 2])
        return pixels

    def _mapped(self, latent: Tensor) -> Tensor:
        styles = _unit_moment(latent)
        for layer in self.mapping:
            styles = leaky(layer(styles))
        return styles


class StyleGAN2Discriminator(Discriminator):
    """Residual blocks down to 4 × 4, the batch's deviation as one more map, two dense layers."""

    is_batch_aware = True

    def __init__(self, widths: dict[int, int], channels: int, *, group: int):
        super().__init__()
        edges = sorted(widths, reverse=True)
        self.feature_dim, self.group = widths[_START], group
        self.pixels = Convolution(channels, widths[edges[0]], 1)
        self.blocks = nn.Sequential(*(Residual(widths[edge], widths[half]) for edge, half in pairwise(edges)))
        self.convolution = Convolution(self.feature_dim + 1, self.feature_dim, 3)
        self.dense = Linear(self.feature_dim * _START**2, self.feature_dim)
        self.linear = Linear(self.feature_dim, 1)

    def forward(
        self, images: Float[Tensor, "batch channels size size"], labels: Int[Tensor, "batch"] | None
    ) -> Judgement:
        maps = with_deviation(self.blocks(leaky(self.pixels(images))), self.group)
        feature = leaky(self.dense(leaky(self.convolution(maps)).flatten(1)))
        return Judgement(self.linear(feature)[:, 0], feature)


class Residual(nn.Module):
    """Two 3 × 3 convolutions that halve the edge, beside a 1 × 1 one; their sum over √2."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.first = Convolution(before, before, 3)
        self.second = Convolution(before, after, 3, is_halving=True)
        self.shortcut = Convolution(before, after, 1, is_halving=True, has_bias=False)

    def forward(self, maps: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch after h2 w2"]:
        return (leaky(self.second(leaky(self.first(maps)))) + self.shortcut(maps)) / math.sqrt(2)


def with_deviation(maps: Float[Tensor, "batch channels h w"], group: int) -> Float[Tensor, "batch channels1 h w"]:
    """Return maps with one more channel: the mean deviation over a group of images, by which sameness is seen.

    Groups have `group` images, or the largest divisor of it that divides the batch.
    """
    batch, _, height, width = maps.shape
    groups = maps.reshape(math.gcd(group, batch), -1, *maps.shape[1:])  # (images of a group, groups, …)
    deviation = (groups.var(0, correction=0) + _FLOOR).sqrt().mean((1, 2, 3))
    return torch.cat([maps, deviation.repeat(len(groups))[:, None, None, None].expand(-1, 1, height, width)], 1)


def _unit_moment(rows: Tensor) -> Tensor:
    return rows * (rows.square().mean(1, keepdim=True) + _FLOOR).rsqrt()
