"""StyleGAN2's modulated convolution and the layer around it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.generation.models.equalised import Linear, leaky
from distill.generation.models.resample import binomial, upfirdn

# Under the root of a demodulation.
_FLOOR = 1e-8


def modulated(
    maps: Float[Tensor, "batch before h w"],
    weight: Float[Tensor, "after before size size"],
    styles: Float[Tensor, "batch before"],
    *,
    is_demodulated: bool = True,
    taps: Float[Tensor, "taps"] | None = None,
) -> Float[Tensor, "batch after h2 w2"]:
    """Convolve each image with weights of its own, w·s over √(Σ(w·s)² + 1e-8) if demodulated.

    The input is scaled by s and the output by the root instead: one convolution for the batch, the same numbers.
    taps: of a filter, with which the edge is doubled; the 3 × 3 convolution is then a transposed one.
    Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2.
    """
    scaled = maps * styles[:, :, None, None]
    if taps is None:
        out = functional.conv2d(scaled, weight, padding=weight.shape[-1] // 2)
    else:
        out = upfirdn(functional.conv_transpose2d(scaled, weight.transpose(0, 1), stride=2), 2 * taps, padding=(1, 1))
    if not is_demodulated:
        return out
    squares = styles.square() @ weight.square().sum((-2, -1)).T  # (batch, after)
    return out * (squares + _FLOOR).rsqrt()[:, :, None, None]


class StyledLayer(nn.Module):
    """Modulated 3 × 3 convolution, noise of a learned strength, offset, leaky ReLU; `is_doubling` the edge before."""

    def __init__(self, before: int, after: int, style_dim: int, edge: int, *, is_doubling: bool = False):
        super().__init__()
        self.style = Linear(style_dim, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias, self.strength = nn.Parameter(torch.zeros(after)), nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(edge, edge))
        self.register_buffer("taps", binomial(), persistent=False)
        self.noise: Tensor
        self.taps: Tensor
        self.is_doubling = is_doubling

    def forward(
        self,
        maps: Float[Tensor, "batch before h w"],
        style: Float[Tensor, "batch style"],
        drawn: torch.Generator | None,
    ) -> Float[Tensor, "batch after h2 w2"]:
        out = modulated(maps, self.weight, self.style(style), taps=self.taps if self.is_doubling else None)
        noise = self.noise
        if drawn is not None:
            noise = torch.randn(len(maps), 1, *self.noise.shape, generator=drawn, device=maps.device)
        return leaky(out + self.strength * noise + self.bias[:, None, None])


class ToPixels(nn.Module):
    """Modulated 1 × 1 convolution to an image's channels, without demodulation."""

    def __init__(self, before: int, channels: int, style_dim: int):
        super().__init__()
        self.style = Linear(style_dim, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(before)

    def forward(
        self, maps: Float[Tensor, "batch before h w"], style: Float[Tensor, "batch style"]
    ) -> Float[Tensor, "batch channels h w"]:
        styles = self.gain * self.style(style)
        return modulated(maps, self.weight, styles, is_demodulated=False) + self.bias[:, None, None]
