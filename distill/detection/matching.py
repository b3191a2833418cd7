"""Which query answers for which object: the assignment of least cost, an image and a layer at a time."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from distill.detection.boxes import generalised_iou, to_corners

# Deformable DETR's weights of class, L1 distance and generalised IoU, and the focal loss's α and γ.
CLASS_WEIGHT, BOX_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
ALPHA, GAMMA = 0.25, 2.0


class Matching(NamedTuple):
    """Matched pairs, one a place: object `target` of an image and the query that answers for it in a layer."""

    layer: Int[Tensor, "pairs"]
    image: Int[Tensor, "pairs"]
    query: Int[Tensor, "pairs"]
    target: Int[Tensor, "pairs"]


@torch.no_grad()
def match(
    logits: Float[Tensor, "layers batch queries classes"],
    boxes: Float[Tensor, "layers batch queries 4"],
    labels: Int[Tensor, "batch most"],
    targets: Float[Tensor, "batch most 4"],
) -> Matching:
    """Return the assignments of least cost: every object has a query of its own, as far as there are queries.

    labels: −1 where an image has no further object. Boxes are (centre x, centre y, width, height).
    Cost: layers·batch·queries·most on the device, then one transfer and layers·batch assignments on the CPU.
    Source: Carion et al., ECCV 2020; Zhu et al., ICLR 2021 (the focal cost).
    """
    # NaN has no order: it is the loss, not the matching, that says so.
    costs = cost(logits, boxes, labels, targets).nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()
    counts = (labels >= 0).sum(1).tolist()
    found: list[np.ndarray] = [np.zeros((4, 0), np.int64)]
    for layer, of_layer in enumerate(costs):
        for image, (of_image, count) in enumerate(zip(of_layer, counts, strict=True)):
            query, target = linear_sum_assignment(of_image[:, :count])
            found.append(np.stack([np.full_like(query, layer), np.full_like(query, image), query, target]))
    return Matching(*torch.from_numpy(np.concatenate(found, 1)).to(logits.device))


def cost(
    logits: Float[Tensor, "layers batch queries classes"],
    boxes: Float[Tensor, "layers batch queries 4"],
    labels: Int[Tensor, "batch most"],
    targets: Float[Tensor, "batch most 4"],
) -> Float[Tensor, "layers batch queries most"]:
    """Return what it costs that a query answers for an object; objects must come first, padding last."""
    scores = logits.sigmoid()
    tiny = 1e-8  # under the logarithms, as in the source
    positive = ALPHA * (1 - scores) ** GAMMA * -(scores + tiny).log()
    negative = (1 - ALPHA) * scores**GAMMA * -(1 - scores + tiny).log()
    index = labels.clamp(min=0)[None, :, None].expand(*scores.shape[:3], -1)
    of_class = (positive - negative).gather(-1, index)
    one, other = boxes[:, :, :, None], targets[:, None]
    of_box = (one - other).abs().sum(-1)
    of_overlap = -generalised_iou(to_corners(one), to_corners(other))
    return CLASS_WEIGHT * of_class + BOX_WEIGHT * of_box + GIOU_WEIGHT * of_overlap
