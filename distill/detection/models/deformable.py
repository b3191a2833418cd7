"""Multi-scale deformable attention: each query looks at a few places of every level that it chooses itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from distill.detection.models.padding import valid_ratios


@dataclass(frozen=True)
class Memory:
    """Levels as the neck reads them: places in a row, level after level.

    sizes: height and width of each level. ratios: the share of each level's width and height that isn't padding.
    """

    tokens: Float[Tensor, "batch places dim"]
    padding: Bool[Tensor, "batch places"]
    sizes: list[tuple[int, int]]
    ratios: Float[Tensor, "batch levels 2"]

    @classmethod
    def of(cls, levels: Sequence[Tensor], paddings: Sequence[Tensor]) -> "Memory":
        """Return the memory of maps (batch, dim, h, w) and their masks (batch, h, w)."""
        tokens = torch.cat([level.flatten(2).mT for level in levels], 1)
        padding = torch.cat([each.flatten(1) for each in paddings], 1)
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        return cls(tokens, padding, sizes, torch.stack([valid_ratios(each) for each in paddings], 1))


class DeformableAttention(nn.Module):
    """Attention over `points` places of each level, for each head.

    Places are offsets from a box's centre in units of half its width and height over `points`. Padding reads as zero.
    Cost, of s places and q queries of width c: 4(s + q)c² flops and the offsets'; s·c for the values, kept.
    Source: Zhu et al., "Deformable DETR", ICLR 2021, equation 3.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int):
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self._initialise()

    def forward(
        self,
        queries: Float[Tensor, "batch queries dim"],
        boxes: Float[Tensor, "batch queries 4"],
        memory: Memory,
    ) -> Float[Tensor, "batch queries dim"]:
        """Return what each query reads around its box, given as Detections.boxes."""
        shape = (self.heads, self.levels, self.points)
        weights = self.weights(queries).unflatten(-1, (self.heads, -1)).softmax(-1).unflatten(-1, shape[1:])
        offsets = self.offsets(queries).unflatten(-1, (*shape, 2))
        # Boxes are of the image; places are of the level, its padding included.
        ratios = memory.ratios[:, None, None, :, None]
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        places = (centre[:, :, None, None, None] + offsets / self.points * half[:, :, None, None, None]) * ratios
        value = self.value(memory.tokens).masked_fill(memory.padding[..., None], 0.0)
        return self.output(sample(value.unflatten(-1, (self.heads, -1)), memory.sizes, places, weights))

    def _initialise(self) -> None:
        """Look around the box evenly at first: a head in a direction of its own, a point further out than the last."""
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.weights, self.value, self.output):
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)  # onto the square
        steps = torch.arange(1, self.points + 1)[:, None] * directions[:, None, None]
        with torch.no_grad():
            self.offsets.bias.copy_(steps.expand(-1, self.levels, -1, -1).flatten())


def sample(
    value: Float[Tensor, "batch places heads dim"],
    sizes: Sequence[tuple[int, int]],
    at: Float[Tensor, "batch queries heads levels points 2"],
    weights: Float[Tensor, "batch queries heads levels points"],
) -> Float[Tensor, "batch queries width"]:
    """Return the weighted sum of bilinear samples, heads side by side.

    at: x, y in 0 … 1 of a level, from edge to edge; outside it, and beyond its outermost centres, zeros are read.
    """
    batch, heads = value.shape[0], value.shape[2]
    levels = value.split([height * width for height, width in sizes], 1)
    total = value.new_zeros(batch * heads, value.shape[3], at.shape[1])
    for index, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        maps = level.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # (batch · heads, dim, h, w)
        grid = (2 * at[:, :, :, index] - 1).transpose(1, 2).flatten(0, 1)  # (batch · heads, queries, points, 2)
        read = functional.grid_sample(maps, grid, align_corners=False)
        total = total + (read * weights[:, :, :, index].transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
    return total.unflatten(0, (batch, heads)).flatten(1, 2).mT
