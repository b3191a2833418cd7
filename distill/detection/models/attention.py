"""ViDT's reconfigured attention: patches within windows, [DET] tokens among themselves or over all patches too."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Sight:
    """What [DET] tokens see of the patches where they attend to them: their positions, and which are padding."""

    positions: Float[Tensor, "batch h w dim"]
    padding: Bool[Tensor, "batch h w"]


class ReconfiguredAttention(nn.Module):
    """Swin's window attention whose projections serve [DET] tokens too.

    Patches attend within windows, shifted ones wrapping round without seeing across the seam. Windows that reach past
    the map are filled with zeros, which take part in the attention, as in the public code, but aren't multiplied; image
    padding takes part too.
    Cost, of n patches and q [DET] tokens of width c: 8(n + q)c² + 4n·window²·c + 4q²c flops, 4nqc more with `sight`.
    Source: Liu et al., "Swin transformer", ICCV 2021; Song et al., "ViDT", ICLR 2022, section 3.1.
    """

    places: Int[Tensor, "window2 window2"]

    def __init__(self, width: int, heads: int, window: int, shift: int):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.bias = nn.Parameter(nn.init.trunc_normal_(torch.empty((2 * window - 1) ** 2, heads), std=0.02))
        self.register_buffer("places", relative_places(window), persistent=False)

    def forward(
        self, patches: Float[Tensor, "batch h w dim"], det: Float[Tensor, "once queries dim"], sight: Sight | None
    ) -> tuple[Float[Tensor, "batch h w dim"], Float[Tensor, "once queries dim"]]:
        """Return both attended. Without `sight`, [DET] tokens see one another alone."""
        return self._among_patches(patches), self._of_det(det, patches, sight)

    def _among_patches(self, patches: Tensor) -> Tensor:
        _, height, width, _ = patches.shape
        window, shift = self.window, self.shift
        filled = fill(self.query_key_value(patches), self.query_key_value.bias, window)
        size = (filled.shape[1], filled.shape[2])
        mask = self.bias[self.places].permute(2, 0, 1)  # (heads, window², window²)
        if shift:
            filled = filled.roll((-shift, -shift), (1, 2))
            mask = mask.masked_fill(across_the_seam(size, window, shift, patches.device)[:, None], -torch.inf)
        windows = partition(filled, window)  # (batch, windows, window², 3 · dim)
        mixed = attend(*self._by_head(windows, 3), mask=mask)
        joined = join(mixed.transpose(-3, -2).flatten(-2), window, size)
        if shift:
            joined = joined.roll((shift, shift), (1, 2))
        return self.output(joined[:, :height, :width])

    def _of_det(self, det: Tensor, patches: Tensor, sight: Sight | None) -> Tensor:
        seen, mask = det, None
        if sight is not None:
            seen = torch.cat([(patches + sight.positions).flatten(1, 2), det], 1)
            mask = functional.pad(~sight.padding.flatten(1), (0, det.shape[1]), value=True)[:, None, None]
        rows = (det.shape[-1], 2 * det.shape[-1])  # of the query, and of the key and the value
        ours, theirs = self.query_key_value.weight.split(rows)
        our_bias, their_bias = self.query_key_value.bias.split(rows)
        (query,) = self._by_head(functional.linear(det, ours, our_bias), 1)
        key, value = self._by_head(functional.linear(seen, theirs, their_bias), 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _by_head(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Return each part as (…, heads, tokens, dim / heads)."""
        return tuple(part.transpose(-3, -2) for part in projected.unflatten(-1, (parts, self.heads, -1)).unbind(-3))


def attend(
    query: Float[Tensor, "*b tokens dim"],
    key: Float[Tensor, "*b tokens dim"],
    value: Float[Tensor, "*b tokens dim"],
    *,
    mask: Float[Tensor, "*_ tokens tokens"],
) -> Float[Tensor, "*b tokens dim"]:
    """Return the attention with a mask that is added and masks no row whole.

    torch has no fused kernel on CPUs for a mask that is trained: what it does instead looks for rows masked whole, and
    takes half as long again (7.3 ms for 4.9, forward and backward of 128 windows of 64 places).
    """
    if mask.requires_grad and mask.device.type == "cpu":
        return ((query * query.shape[-1] ** -0.5) @ key.mT + mask).softmax(-1) @ value
    return functional.scaled_dot_product_attention(query, key, value, mask)


def fill(
    projected: Float[Tensor, "batch h w dim"], bias: Float[Tensor, "dim"], window: int
) -> Float[Tensor, "batch high wide dim"]:
    """Return a map filled up so that windows tile it, by what zeros are projected to: the bias."""
    batch, height, width, _ = projected.shape
    bias = bias.to(projected.dtype)  # autocast casts it as it projects
    if across := -width % window:
        projected = torch.cat([projected, bias.expand(batch, height, across, -1)], 2)
    if down := -height % window:
        projected = torch.cat([projected, bias.expand(batch, down, projected.shape[2], -1)], 1)
    return projected


def partition(tokens: Float[Tensor, "batch h w dim"], window: int) -> Float[Tensor, "batch windows window2 dim"]:
    """Return a map that windows tile, cut into them row by row."""
    cut = tokens.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # (batch, rows, window, columns, window, dim)
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def join(
    windows: Float[Tensor, "batch windows window2 dim"], window: int, size: tuple[int, int]
) -> Float[Tensor, "batch h w dim"]:
    """Return the map of this size that `partition` cut."""
    cut = windows.unflatten(2, (window, window)).unflatten(1, (size[0] // window, size[1] // window))
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def relative_places(window: int) -> Int[Tensor, "window2 window2"]:
    """Return the row of the bias table for each pair of places: by how many rows and columns the first lies further."""
    place = torch.arange(window * window)
    row, column = place // window, place % window
    down, right = row[:, None] - row, column[:, None] - column
    return (down + window - 1) * (2 * window - 1) + right + window - 1


def across_the_seam(
    size: tuple[int, int], window: int, shift: int, device: torch.device
) -> Bool[Tensor, "windows window2 window2"]:
    """Return which pairs of places of a rolled map's windows were brought together by the rolling alone."""
    wrapped_rows = torch.arange(size[0], device=device) >= size[0] - shift
    wrapped_columns = torch.arange(size[1], device=device) >= size[1] - shift
    sides = 2.0 * wrapped_rows[:, None] + wrapped_columns
    cut = partition(sides[None, :, :, None], window)[0]  # (windows, window², 1)
    return cut != cut.mT
