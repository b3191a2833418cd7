"""Layers with an equalised learning rate: weights from N(0, 1), scaled in the forward pass; and StyleGAN2's leaky ReLU.

Source: Karras et al., ICLR 2018 (the scaling) and CVPR 2020 (the gain √2).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.generation.models.resample import binomial, halved, upfirdn

_SLOPE = 0.2


def leaky(maps: Tensor) -> Tensor:
    """Return a leaky ReLU that keeps second moments: slope 0.2, gain √2."""
    return math.sqrt(2) * functional.leaky_relu(maps, _SLOPE)


class Linear(nn.Module):
    """A linear map. rate: its share of the learning rate. bias: where its offset starts."""

    def __init__(self, before: int, after: int, *, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.rate, self.gain = rate, rate / math.sqrt(before)

    def forward(self, rows: Float[Tensor, "batch before"]) -> Float[Tensor, "batch after"]:
        return functional.linear(rows, self.gain * self.weight, self.rate * self.bias)


class Convolution(nn.Module):
    """A convolution that keeps the edge, or halves it after the binomial filter if `is_halving`."""

    def __init__(self, before: int, after: int, size: int, *, is_halving: bool = False, has_bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, size, size))
        self.bias = nn.Parameter(torch.zeros(after)) if has_bias else None
        self.gain, self.padding, self.is_halving = 1 / math.sqrt(before * size * size), size // 2, is_halving
        self.register_buffer("taps", binomial(), persistent=False)
        self.taps: Tensor

    def forward(self, maps: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch after h2 w2"]:
        weight = self.gain * self.weight
        if not self.is_halving:
            return functional.conv2d(maps, weight, self.bias, padding=self.padding)
        if self.padding == 0:  # 1 × 1: what the filter leaves out isn't convolved
            return functional.conv2d(halved(maps, self.taps), weight, self.bias)
        around = self.padding + len(self.taps) // 2 - 1
        return functional.conv2d(upfirdn(maps, self.taps, padding=(around, around)), weight, self.bias, stride=2)
