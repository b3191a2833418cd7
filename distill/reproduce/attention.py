"""What a transformer student attends to, and how far."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import RecipeError
from distill.models import Backbone, DeiT
from distill.models.deit import Block


@torch.no_grad()
def attention_maps(student: Backbone, pixels: Tensor) -> Float[Tensor, "layers batch heads tokens tokens"]:
    """Return every block's attention weights; the class token is the first token, patches are the last ones.

    The student computes attention in one fused operation, so the weights are computed anew from its queries and keys.

    Raises: RecipeError where the student is no transformer of ours.
    """
    if not isinstance(student, DeiT):
        raise RecipeError("student", "a DeiT of ours, whose attention can be read", type(student).__name__)
    seen: list[Tensor] = []
    hooks = [_hook(block, seen) for block in student.modules() if isinstance(block, Block)]
    try:
        student(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen)


def _hook(block: Block, seen: list[Tensor]) -> torch.utils.hooks.RemovableHandle:
    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        query, key, _ = output.unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)
        seen.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(-1))

    return block.query_key_value.register_forward_hook(note)


def attention_distance(
    weights: Float[Tensor, "layers batch heads tokens tokens"], grid: tuple[int, int], patch: float
) -> Float[Tensor, "batch layers heads"]:
    """Return how far an image's patches look, in pixels: distance between patches' centres weighted by attention.

    The mean over patches; attention to other tokens than patches is left out.
    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, figure 7.
    """
    count = grid[0] * grid[1]
    among = weights[..., -count:, -count:]
    among = among / among.sum(-1, keepdim=True)
    return (among * _distances(grid, patch).to(among)).sum(-1).mean(-1).transpose(0, 1)


def uniform_distance(grid: tuple[int, int], patch: float) -> float:
    """Return the attention distance of a head that attends to every patch alike."""
    return float(_distances(grid, patch).mean())


def _distances(grid: tuple[int, int], patch: float) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    places = patch * torch.stack([rows, columns], -1).flatten(0, 1).float()
    return torch.cdist(places, places)


def energy(features: Float[Tensor, "batch dim h w"]) -> Float[Tensor, "batch h w"]:
    """Return the norm over channels at every place."""
    return features.norm(dim=1)


def agreement(one: Float[Tensor, "batch h w"], other: Float[Tensor, "batch height width"]) -> float:
    """Return Pearson's correlation between two maps over the places of all images.

    Both are averaged down to the coarser grid and centred image by image: what counts is where an image's energy
    lies, not how much an image has. NaN where a map is constant.
    """
    grid = (min(one.shape[-2], other.shape[-2]), min(one.shape[-1], other.shape[-1]))
    first, second = (_centred(maps, grid) for maps in (one, other))
    return float((first * second).sum() / (first.norm() * second.norm()))


def _centred(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    coarse = functional.adaptive_avg_pool2d(maps.double()[:, None], grid).flatten(1)
    return coarse - coarse.mean(1, keepdim=True)
