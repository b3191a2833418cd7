"""Matching is optimal, and the losses are Deformable DETR's, as transformers computes them."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill import extras
from distill.detection.criterion import criterion
from distill.detection.matching import cost, match
from distill.detection.models import Detections

EPS = torch.finfo(torch.float32).eps
LAYERS, CLASSES = 3, 4


def drawn(seed: int, *, queries: int = 6, counts: tuple[int, ...] = (3, 0, 2)) -> tuple[Detections, Tensor, Tensor]:
    """Return (detections, labels, boxes) of random numbers for images with so many objects."""
    generator = torch.Generator().manual_seed(seed)
    batch, most = len(counts), max(counts)
    logits = torch.randn(LAYERS, batch, queries, CLASSES, generator=generator)
    boxes = torch.rand(LAYERS, batch, queries, 4, generator=generator) * 0.8 + 0.1
    labels = torch.randint(CLASSES, (batch, most), generator=generator)
    targets = torch.rand(batch, most, 4, generator=generator) * 0.8 + 0.1
    for image, count in enumerate(counts):
        labels[image, count:], targets[image, count:] = -1, 0
    tokens = torch.zeros(batch, queries, 1)
    return Detections(logits, boxes, [], [], tokens, tokens.expand(LAYERS, -1, -1, -1)), labels, targets


@settings(max_examples=30)
@given(st.integers(0, 2**20), st.integers(1, 5), st.integers(0, 4))
def test_no_assignment_costs_less_than_the_matching(seed: int, queries: int, count: int) -> None:
    detections, labels, targets = drawn(seed, queries=queries, counts=(count, 1))
    costs = cost(detections.logits, detections.boxes, labels, targets).double()
    matching = match(detections.logits, detections.boxes, labels, targets)
    for layer in range(LAYERS):
        mine = (matching.layer == layer) & (matching.image == 0)
        query, target = matching.query[mine].tolist(), matching.target[mine].tolist()
        assert len(set(query)) == len(set(target)) == len(query) == min(queries, count)
        found = sum(float(costs[layer, 0, q, t]) for q, t in zip(query, target, strict=True))
        assert found <= least(costs[layer, 0, :, :count].numpy()) + 1e-9


def least(costs: np.ndarray) -> float:
    """Return the least sum of an assignment by trying all of them."""
    rows, columns = costs.shape
    if rows < columns:
        costs, rows, columns = costs.T, columns, rows
    choices = permutations(range(rows), columns)
    return min(sum(costs[row, column] for column, row in enumerate(chosen)) for chosen in choices)


@settings(max_examples=20)
@given(st.integers(0, 2**20))
def test_the_order_of_an_images_objects_changes_no_loss(seed: int) -> None:
    detections, labels, targets = drawn(seed)
    before = criterion(detections, labels, targets, torch.tensor(5.0)).total
    order = torch.tensor([2, 0, 1])
    labels[0], targets[0] = labels[0, order], targets[0, order]
    after = criterion(detections, labels, targets, torch.tensor(5.0)).total
    assert abs(float(after - before)) <= 100 * EPS * abs(float(before))


@pytest.mark.parametrize("counts", [(3, 0, 2), (1, 1), (6, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_the_losses_are_those_of_transformers(seed: int, counts: tuple[int, ...]) -> None:
    extras.load("transformers", needed_by="tests")
    from transformers.loss.loss_deformable_detr import DeformableDetrHungarianMatcher, DeformableDetrImageLoss

    detections, labels, targets = drawn(seed, counts=counts)
    matcher = DeformableDetrHungarianMatcher(class_cost=2.0, bbox_cost=5.0, giou_cost=2.0)
    theirs = DeformableDetrImageLoss(matcher, CLASSES, 0.25, ["labels", "boxes"])
    objects = [
        {"class_labels": own[own >= 0], "boxes": boxes[own >= 0]} for own, boxes in zip(labels, targets, strict=True)
    ]
    expected = {"loss_ce": 0.0, "loss_bbox": 0.0, "loss_giou": 0.0}
    for logits, boxes in zip(detections.logits, detections.boxes, strict=True):
        for name, value in theirs({"logits": logits, "pred_boxes": boxes}, objects).items():
            expected[name] += float(value)
    ours = criterion(detections, labels, targets, torch.tensor(float(sum(counts))))
    assert [float(each) for each in ours] == pytest.approx(list(expected.values()), rel=100 * EPS)


def test_without_any_object_only_the_classes_cost_and_every_output_has_a_gradient() -> None:
    detections, labels, targets = drawn(0, counts=(0, 0))
    for each in (detections.logits, detections.boxes):
        each.requires_grad_()
    losses = criterion(detections, labels, targets, torch.tensor(1.0))
    losses.total.backward()
    assert losses.classes > 0
    assert losses.boxes == losses.overlaps == 0
    assert detections.boxes.grad is not None
    assert not detections.boxes.grad.any()


def test_an_output_of_nan_gives_a_loss_of_nan_and_no_error() -> None:
    detections, labels, targets = drawn(0)
    detections.logits[0, 0, 0, 0] = torch.nan
    assert torch.isnan(criterion(detections, labels, targets, torch.tensor(5.0)).total)


def test_the_losses_of_two_halves_of_a_batch_are_the_whole_ones() -> None:
    detections, labels, targets = drawn(1, counts=(3, 1, 0, 2))
    whole = criterion(detections, labels, targets, torch.tensor(6.0)).total
    halves = [
        criterion(part_of(detections, part), labels[part], targets[part], torch.tensor(3.0)).total
        for part in (slice(0, 2), slice(2, 4))
    ]
    assert abs(float(sum(halves) / 2 - whole)) <= 100 * EPS * float(whole)


def part_of(detections: Detections, part: slice) -> Detections:
    logits, boxes, neck = (each[:, part] for each in (detections.logits, detections.boxes, detections.neck_tokens))
    return Detections(logits, boxes, [], [], detections.body_tokens[part], neck)
