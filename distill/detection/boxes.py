"""Boxes: from one form to another, areas, overlaps. Everything works on any shape that ends with the four numbers."""

import torch
from jaxtyping import Float
from torch import Tensor


def to_corners(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Return (centre x, centre y, width, height) as (left, top, right, bottom)."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def to_centres(corners: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Return (left, top, right, bottom) as (centre x, centre y, width, height)."""
    low, high = corners[..., :2], corners[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def area(corners: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n"]:
    """Return the area of (left, top, right, bottom); 0 where right < left or bottom < top."""
    return (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)


def iou(one: Float[Tensor, "*n 4"], other: Float[Tensor, "*m 4"]) -> Float[Tensor, "*k"]:
    """Return intersection over union of corners that broadcast; 0 for two boxes without area."""
    shared, union = _shared_and_union(one, other)
    return shared / union.clamp(min=_tiny(union))


def generalised_iou(one: Float[Tensor, "*n 4"], other: Float[Tensor, "*m 4"]) -> Float[Tensor, "*k"]:
    """Return the IoU less the share of the smallest box around both that neither covers: −1 … 1.

    Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019.
    """
    shared, union = _shared_and_union(one, other)
    low, high = torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])
    around = (high - low).clamp(min=0).prod(-1)
    tiny = _tiny(union)
    return shared / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def _shared_and_union(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared, area(one) + area(other) - shared


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
