"""What detections cost: focal loss of the classes, L1 distance and generalised IoU of the boxes, over all layers."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from distill.detection.boxes import generalised_iou, to_corners
from distill.detection.matching import ALPHA, BOX_WEIGHT, CLASS_WEIGHT, GAMMA, GIOU_WEIGHT, match
from distill.detection.models import Detections


class Losses(NamedTuple):
    """Sums over layers, an object each on average; `total` weighs them as the matching does."""

    classes: Float[Tensor, ""]
    boxes: Float[Tensor, ""]
    overlaps: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Return 2 · focal + 5 · L1 + 2 · (1 − GIoU)."""
        return CLASS_WEIGHT * self.classes + BOX_WEIGHT * self.boxes + GIOU_WEIGHT * self.overlaps

    @property
    def named(self) -> dict[str, Tensor]:
        """Return the three by the names that a run's records have."""
        return {"class_loss": self.classes, "box_loss": self.boxes, "giou_loss": self.overlaps}


def criterion(
    detections: Detections, labels: Int[Tensor, "batch most"], targets: Float[Tensor, "batch most 4"], objects: Tensor
) -> Losses:
    """Return the losses of a batch, each layer matched by itself.

    labels: −1 where an image has no further object. objects: what the sums are divided by, above 0: how many the batch
    has, or a step's mean over its parts and processes.
    Source: Carion et al., ECCV 2020; Zhu et al., ICLR 2021; Song et al., ICLR 2022 (ViDT, the same losses).
    """
    logits, boxes = detections.logits.float(), detections.boxes.float()
    layer, image, query, target = match(logits, boxes, labels, targets)
    is_class = torch.zeros_like(logits)
    is_class[layer, image, query, labels[image, target]] = 1
    predicted, wanted = boxes[layer, image, query], targets[image, target]
    overlaps = generalised_iou(to_corners(predicted), to_corners(wanted))
    return Losses(
        focal(logits, is_class).sum() / objects,
        (predicted - wanted).abs().sum() / objects,
        (1 - overlaps).sum() / objects,
    )


def focal(logits: Float[Tensor, "*n"], is_class: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the focal loss of each logit, α 0.25 and γ 2.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, is_class, reduction="none")
    scores = logits.sigmoid()
    wrong = scores + is_class - 2 * scores * is_class  # 1 − p where it is the class, p elsewhere
    weight = ALPHA * is_class + (1 - ALPHA) * (1 - is_class)
    return weight * wrong**GAMMA * cross_entropy
