"""A product of Givens rotations, one angle for each dimension of St(n, p), in the Sameh–Kuck parallel order."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from stiefel.base import Claims, Parameterisation
from stiefel.linalg import is_readable, leading_identity

# Rotations are multiplied into blocks of this many rows and columns of angles. Forward and backward at 768 × 192 take
# 222 ms of one CPU core stage by stage (1), 136 with 8, 141 with 32, 200 with 128; 32 has the fewest steps in a row.
_TILE = 32


class Givens(Parameterisation):
    """X = Π_j Π_i R_ij(θ_ij)·E·D: j = 1…p, i = n…j+1, R_ij turns rows i − 1 and i by θ_ij, D = diag(±1) fixed.

    Angles θ = base + F are read under the diagonal: np − p(p+1)/2 of them, the dimension of St(n, p). The base
    buffer holds D on its diagonal; the entries of F on and above the diagonal are ignored. Orthonormal for every F.
    Where n > p every point has D = I; where n = p the last sign is the determinant, which no rotation changes.

    Rotations of one stage turn disjoint pairs of rows: n + p − 2 stages, not np. Blocks of k × k angles (k = 32)
    multiply into 2k × 2k matrices, all blocks at once, and those are applied in (n + p)/k stages of the same order.
    Backward undoes the stages one after another, so autograd keeps about 4np numbers for each of log₂k + 1 levels
    of blocks, not n × p for each stage (as it does inside torch.compile and torch.func, where the stages are plain
    operations: n²p/k there).
    """

    claims = Claims(
        summary="product of Givens rotations: one angle a dimension, orthonormal for any free tensor",
        source="Sameh & Kuck 1978 (the parallel order); Golub & Van Loan 2013, section 5.1.8",
        residual=30,
        domain=math.pi,
        retraction_order=None,
        metric="euclidean",
        optimiser="any",
        cost="8np² in (n + p)/32 stages",
    )

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        signs = self.base.diagonal(dim1=-2, dim2=-1)
        return _product(self.base + free) * signs.unsqueeze(-2)

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        self.base.copy_(_eliminated(point))
        return torch.zeros_like(point)


class _Stage(NamedTuple):
    """Blocks that act at the same time, on the panels (row, row + 1), (row + 2, row + 3), … of the state.

    Block (j, u) of the grid, column j and depth u, acts on the panels j + u and j + u + 1. It has to come after
    (j, u + 1), (j − 1, u) and (j − 1, u + 1) have eliminated, so stage t takes the blocks with j − u = t + const.
    """

    column: int
    row: int
    pairs: int


def _rows(stage: _Stage, size: int) -> slice:
    """Return the rows of the state that a stage's blocks of `size` rows turn."""
    return slice(stage.row * size // 2, (stage.row + 2 * stage.pairs) * size // 2)


def _places(stage: _Stage, depth: int) -> slice:
    """Return where a stage's blocks are in the flattened grid."""
    first = stage.column * depth + stage.row - stage.column
    return slice(first, first + (stage.pairs - 1) * (depth + 1) + 1, depth + 1)


def _stages(columns: int, depth: int, panels: int) -> list[_Stage]:
    """Return the stages in the order of elimination; blocks that reach below the last panel are left out."""
    stages = []
    for lead in range(depth - 1, -columns, -1):  # u − j of the stage's blocks
        first, last = max(0, -lead), min(columns - 1, depth - 1 - lead, (panels - 2 - lead) // 2)
        if first <= last:
            stages.append(_Stage(first, lead + 2 * first, last - first + 1))
    return stages


def _product(angles: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the product of the rotations by the angles under the diagonal, times E."""
    n, p = angles.shape[-2:]
    tile = 1
    while tile < min(_TILE, n // 2):
        tile *= 2
    blocks = _rotations(_grid(angles, tile))
    while (size := blocks.shape[-1]) < 2 * tile:
        # Four neighbours in the grid become one block of twice the size: three stages for all of them together.
        quads = blocks.unflatten(-4, (-1, 2)).unflatten(-3, (-1, 2)).transpose(-5, -4)
        blocks = _assemble(quads, 2 * size, 2 * size)
    # The last block may reach below row n, where its rotations turn nothing.
    return _assemble(blocks, tile * (max(n - 2, 0) // tile + 2), p)[..., :n, :]


def _grid(angles: Float[Tensor, "*b n p"], tile: int) -> Float[Tensor, "*b columns depth"]:
    """Return θ_(j + u + 1, j) at (j, u), zero outside the matrix; both sizes are multiples of `tile`."""
    n, p = angles.shape[-2:]
    columns, depth = (-(-size // tile) * tile for size in (p, max(n - 1, 1)))
    width = max(n, depth)
    rows = pad(torch.tril(angles, -1).mT, (0, width - n, 0, columns - p))
    # Read with a stride of width + 1, each row starts one entry further on. What comes in at a row's end is the
    # start of the next row: zeros, as they were above the diagonal.
    return pad(rows.flatten(-2)[..., 1:], (0, columns + 1)).unflatten(-1, (columns, width + 1))[..., :depth]


def _rotations(angles: Float[Tensor, "*b"]) -> Float[Tensor, "*b 2 2"]:
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _eliminated(point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the angles of a point under the diagonal and its signs on it, in float64.

    Each rotation leaves a pivot >= 0, so only a column without rotations, the last one where n = p, keeps a sign.
    """
    n, p = point.shape[-2:]
    state = point.to(torch.float64, copy=True)
    angles = torch.zeros_like(state)
    for column, row, count in _stages(p, max(n - 1, 1), n):
        rows = slice(row, row + 2 * count)
        pairs = state[..., rows, :].unflatten(-2, (count, 2))
        upper, lower = pairs.diagonal(offset=column, dim1=-3, dim2=-1).unbind(-2)
        turn = torch.atan2(lower, upper)
        pairs.copy_(_rotations(-turn) @ pairs)
        read = angles[..., rows, column : column + count].unflatten(-2, (count, 2))[..., 1, :]
        read.diagonal(dim1=-2, dim2=-1).copy_(turn)
    angles.diagonal(dim1=-2, dim2=-1).copy_(state.diagonal(dim1=-2, dim2=-1).sign())
    return angles


def _assemble(blocks: Float[Tensor, "*b columns depth s s"], rows: int, width: int) -> Float[Tensor, "*b rows width"]:
    """Return the first columns of the product of a grid of orthogonal blocks, in the order of `_stages`."""
    return (_Assemble.apply if is_readable(blocks) else _assemble_plainly)(blocks, rows, width)


def _assemble_plainly(blocks: Tensor, rows: int, width: int) -> Tensor:
    columns, depth, size = blocks.shape[-4:-1]
    flat = blocks.flatten(-4, -3)
    state = leading_identity(flat.new_empty(rows, width)).expand(*flat.shape[:-3], rows, width).clone()
    for stage in reversed(_stages(columns, depth, 2 * rows // size)):
        turned = flat[..., _places(stage, depth), :, :] @ _split(state, stage, size)
        state = _put(state, turned.flatten(-3, -2), -2, _rows(stage, size))
    return state


class _Assemble(torch.autograd.Function):
    """The same, whose backward undoes the stages: each state is the next one turned back, and none is kept."""

    @staticmethod
    def forward(blocks: Tensor, rows: int, width: int) -> Tensor:
        return _assemble_plainly(blocks, rows, width)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        blocks, output = ctx.saved_tensors
        columns, depth, size = blocks.shape[-4:-1]
        flat = blocks.flatten(-4, -3)
        state, grad, result = output.clone(), grad.clone(), torch.zeros_like(flat)
        for stage in _stages(columns, depth, 2 * output.shape[-2] // size):
            rows, which = _rows(stage, size), _places(stage, depth)
            back = flat[..., which, :, :].mT
            before, above = back @ _split(state, stage, size), _split(grad, stage, size)
            result = _put(result, above @ before.mT, -3, which)
            state = _put(state, before.flatten(-3, -2), -2, rows)
            grad = _put(grad, (back @ above).flatten(-3, -2), -2, rows)
        return result.unflatten(-3, (columns, depth)), None, None


def _split(state: Float[Tensor, "*b n q"], stage: _Stage, size: int) -> Float[Tensor, "*b count s q"]:
    return state[..., _rows(stage, size), :].unflatten(-2, (stage.pairs, size))


def _put(whole: Tensor, part: Tensor, dim: int, where: slice) -> Tensor:
    """Return `whole` with `part` at `where`: in place, unless a derivative or a transform watches."""
    if torch.is_grad_enabled() or not is_readable(part):
        return torch.slice_scatter(whole, part, dim, where.start, where.stop, where.step or 1)
    whole.movedim(dim, 0)[where] = part.movedim(dim, 0)
    return whole
