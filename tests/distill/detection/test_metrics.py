"""Average precision is pycocotools' on the same annotations and predictions, crowds and odd cases included."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_coco import annotations

from distill.detection.data import Annotations
from distill.detection.metrics import FIGURES, Predictions, figures, ground_truth


def predicted(truth: Annotations, seed: int, *, noise: float = 0.1) -> Predictions:
    """Return the annotated boxes, moved and some of another class, and others out of nowhere."""
    generator = np.random.default_rng(seed)
    images = np.repeat(truth.numbers, np.diff(truth.first))
    boxes = truth.boxes + generator.normal(0, noise, truth.boxes.shape) * np.tile(truth.boxes[:, 2:], 2)
    labels = np.where(generator.random(len(boxes)) < 0.8, truth.labels, generator.integers(truth.classes))
    stray = generator.choice(truth.numbers, 40)
    boxes = np.concatenate([boxes, generator.uniform(5, 60, (40, 4))])
    labels = np.concatenate([labels, generator.integers(truth.classes, size=40)])
    numbers = np.array([number for number, _ in truth.categories])
    # Scores with ties.
    scores = generator.integers(1, 30, len(boxes)) / 30
    return Predictions(np.concatenate([images, stray]), numbers[labels], boxes, scores)


def by_pycocotools(truth: Annotations, predictions: Predictions, folder: Path) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    (folder / "truth.json").write_text(json.dumps(ground_truth(truth)))
    coco = COCO(str(folder / "truth.json"))
    evaluation = COCOeval(coco, coco.loadRes(predictions.as_coco()), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: float(evaluation.stats[place]) for name, place in FIGURES.items() if evaluation.stats[place] >= 0}


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_are_those_of_pycocotools(seed: int, tmp_path: Path) -> None:
    truth = annotations(tmp_path / "data", seed=seed)
    assert truth.crowds.any()
    predictions = predicted(truth, seed)
    found = figures(truth, predictions)
    assert 0 < found["ap"] < 1
    # Both average the same precisions in float64.
    assert found == pytest.approx(by_pycocotools(truth, predictions, tmp_path), abs=1e-12)


def predicted_none() -> Predictions:
    return Predictions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))


def test_no_prediction_is_an_ap_of_zero(tmp_path: Path) -> None:
    found = figures(annotations(tmp_path), predicted_none())
    assert found
    assert set(found.values()) == {0.0}


def test_the_annotations_themselves_are_an_ap_of_one(tmp_path: Path) -> None:
    truth = annotations(tmp_path, crowds=False)
    images = np.repeat(truth.numbers, np.diff(truth.first))
    numbers = np.array([number for number, _ in truth.categories])
    found = figures(truth, Predictions(images, numbers[truth.labels], truth.boxes, np.ones(len(images))))
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_figures_of_sizes_that_no_object_has_are_left_out(tmp_path: Path) -> None:
    found = figures(annotations(tmp_path, largest=30), predicted_none())
    assert set(found) == {"ap", "ap50", "ap75", "ap_small"}
