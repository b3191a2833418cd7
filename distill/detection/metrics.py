"""COCO's average precision of predictions, by faster-coco-eval."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from distill import extras
from distill.detection.data import Annotations

# Figures by their place in COCO's summary; those of sizes that no object has are left out.
FIGURES = {"ap": 0, "ap50": 1, "ap75": 2, "ap_small": 3, "ap_medium": 4, "ap_large": 5}


class Predictions(NamedTuple):
    """Boxes found in images, one a row: COCO's numbers of image and category, (left, top, width, height) in pixels."""

    images: Int[np.ndarray, "n"]
    categories: Int[np.ndarray, "n"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]

    def as_coco(self) -> list[dict[str, Any]]:
        """Return them as COCO's result format has them."""
        columns = zip(*(each.tolist() for each in self), strict=True)
        keys = ("image_id", "category_id", "bbox", "score")
        return [dict(zip(keys, row, strict=True)) for row in columns]


def ground_truth(annotations: Annotations) -> dict[str, Any]:
    """Return annotations as COCO's JSON has them."""
    images = [
        {"id": int(number), "width": int(width), "height": int(height), "file_name": name}
        for number, (width, height), name in zip(annotations.numbers, annotations.sizes, annotations.names, strict=True)
    ]
    numbers = np.repeat(annotations.numbers, np.diff(annotations.first)).tolist()
    categories = [annotations.categories[label][0] for label in annotations.labels]
    columns = zip(
        range(1, len(numbers) + 1),
        numbers,
        categories,
        annotations.boxes.tolist(),
        annotations.areas.tolist(),
        annotations.crowds.astype(int).tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    objects = [dict(zip(keys, row, strict=True)) for row in columns]
    return {
        "images": images,
        "annotations": objects,
        "categories": [{"id": number, "name": name} for number, name in annotations.categories],
    }


def figures(annotations: Annotations, predictions: Predictions) -> dict[str, float]:
    """Return {"ap": …, "ap50": …, …}, shares of 1, as COCO's own evaluation computes them.

    AP is the mean over IoU thresholds 0.50, 0.55, …, 0.95; sizes are by the objects' areas, small < 32² <= medium
    < 96² <= large. The 100 predictions of best score count in each image. Without any prediction all are 0.

    Raises: MissingExtraError without faster-coco-eval.
    """
    package = extras.load("faster_coco_eval", needed_by="the evaluation of detections")
    coco = package.COCO(ground_truth(annotations))
    evaluation = package.COCOeval_faster(coco, coco.loadRes(predictions.as_coco()), "bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: float(evaluation.stats[place]) for name, place in FIGURES.items() if evaluation.stats[place] >= 0}


def _silent(*words: object) -> None:
    """Print nothing: the package would print a table at every evaluation."""
