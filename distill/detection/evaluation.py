"""How well a detector finds the objects of held-out images: every process takes its share of them."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.detection.boxes import to_corners
from distill.detection.config import DetectionData
from distill.detection.criterion import criterion
from distill.detection.data import Annotations
from distill.detection.data.batches import evaluation
from distill.detection.metrics import Predictions, figures
from distill.detection.models import Detections, Detector
from distill.errors import DataError
from distill.processes import Processes

# COCO counts the 100 best predictions of an image.
_MOST = 100
# By which annotations are taken for COCO's own: its last category.
_OF_COCO = (90, "toothbrush")


@torch.no_grad()
def evaluate(
    detector: Detector, annotations: Annotations, data: DetectionData, edge: int, processes: Processes
) -> dict[str, float]:
    """Return COCO's figures and the loss an object, the detector in evaluation mode.

    Images that can't be decoded count as if they weren't there. A detector of other classes than the annotations' is
    taken to number them as COCO does, up to 90: on COCO it has no loss, and on other annotations no AP either (NaN).

    Raises: DataError if not one image can be decoded, in any process.
    """
    if detector.classes != annotations.classes and _OF_COCO not in annotations.categories:
        return {"ap": torch.nan, "test_loss": torch.nan}
    was_training = detector.training
    detector.eval()
    share = annotations.subset(np.arange(processes.rank, len(annotations), processes.world))
    found, losses = [], torch.zeros(2, dtype=torch.float64, device=processes.device)
    for batch in evaluation(share, data, edge, processes.device, size=data.batch_size):
        detections = detector(batch["pixels"], batch["padding"])
        found.append((batch["index"].cpu().numpy(), *(each.cpu().numpy() for each in best(detections))))
        if detector.classes == annotations.classes:
            objects = (batch["labels"] >= 0).sum()
            total = criterion(detections, batch["labels"], batch["boxes"], torch.ones_like(objects)).total
            losses += torch.stack([total.double(), objects.double()])
    detector.train(was_training)
    total, count = processes.sum(losses).tolist()
    gathered = [each for of_process in processes.gathered(found) for each in of_process]
    judged = processes.first(lambda: judge(annotations, gathered, detector.classes))
    return {**judged, "test_loss": total / count if count else torch.nan}


def best(
    detections: Detections,
) -> tuple[Float[Tensor, "batch most 4"], Int[Tensor, "batch most"], Float[Tensor, "batch most"]]:
    """Return the boxes of best score of each image, as corners in shares of it, with their classes and scores."""
    scores = detections.logits[-1].float().sigmoid().flatten(1)
    values, places = scores.topk(min(_MOST, scores.shape[1]))
    classes = detections.logits.shape[-1]
    query = (places // classes)[..., None].expand(-1, -1, 4)
    return to_corners(detections.boxes[-1].float()).gather(1, query), places % classes, values


def judge(annotations: Annotations, found: list[tuple[np.ndarray, ...]], classes: int) -> dict[str, float]:
    """Return COCO's figures of what was found: (images' numbers, corners in shares, labels, scores) of every batch.

    Raises: DataError without any batch: not one image could be decoded, in any process.
    """
    if not found:
        got = "broken ones alone, which the warnings name"
        raise DataError(annotations.folder, "images that can be decoded", got, cure="check the disk and these files")
    place = {int(number): index for index, number in enumerate(annotations.numbers)}
    numbers = np.array([number for number, _ in annotations.categories])
    if classes != annotations.classes:
        numbers = np.arange(classes)
    seen = np.array(sorted(place[int(number)] for images, *_ in found for number in images), dtype=np.int64)
    rows = []
    for images, corners, labels, scores in found:
        sizes = annotations.sizes[[place[int(number)] for number in images]]
        boxes = corners * np.tile(sizes, 2)[:, None]
        boxes[..., 2:] -= boxes[..., :2]
        rows.append((np.repeat(images, scores.shape[1]), numbers[labels].ravel(), boxes.reshape(-1, 4), scores.ravel()))
    predictions = Predictions(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    return figures(annotations.subset(seen), predictions)
