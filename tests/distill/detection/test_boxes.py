"""Boxes: conversions are inverses, overlaps have their properties, and torchvision's twins agree."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distill.detection.boxes import area, generalised_iou, iou, to_centres, to_corners

EPS = torch.finfo(torch.float64).eps
SHARES = st.floats(0, 1, allow_subnormal=False)
# Wider than rounding, so that a box and its overlaps aren't nothing but rounding.
SIDES = st.floats(1e-3, 1)


@st.composite
def boxes(draw: st.DrawFn, count: int = 1) -> Tensor:
    """Return (count, 4) boxes as centres, in float64."""
    rows = [[draw(SHARES), draw(SHARES), draw(SIDES), draw(SIDES)] for _ in range(count)]
    return torch.tensor(rows, dtype=torch.float64)


@given(boxes(3))
def test_conversions_are_inverses(centres: Tensor) -> None:
    # Four roundings of numbers up to 2.
    assert (to_centres(to_corners(centres)) - centres).abs().max() <= 8 * EPS


@given(boxes(), boxes())
def test_overlaps_are_symmetric_and_bounded(one: Tensor, other: Tensor) -> None:
    one, other = to_corners(one), to_corners(other)
    found, generalised = iou(one, other), generalised_iou(one, other)
    assert torch.equal(found, iou(other, one))
    assert torch.equal(generalised, generalised_iou(other, one))
    assert 0 <= found <= 1 + 8 * EPS
    assert -1 <= generalised <= found + 8 * EPS


@given(boxes())
def test_a_box_overlaps_itself_wholly_and_its_shrunken_self_by_its_share(centres: Tensor) -> None:
    small = torch.cat([centres[:, :2], centres[:, 2:] / 2], 1)
    one, other = to_corners(centres), to_corners(small)
    # Areas of boxes of 1e-3 amid coordinates of 1 lose 1e3 of their precision, a side each.
    assert (generalised_iou(one, one) - 1).abs() <= 1e4 * EPS
    assert (iou(one, other) - 0.25).abs() <= 1e4 * EPS
    assert (generalised_iou(one, other) - 0.25).abs() <= 1e4 * EPS


@given(boxes(), boxes(), st.floats(0.5, 2), st.floats(-1, 1))
def test_overlaps_dont_change_with_scale_and_place(one: Tensor, other: Tensor, scale: float, shift: float) -> None:
    one, other = to_corners(one), to_corners(other)
    moved = generalised_iou(one * scale + shift, other * scale + shift)
    assert (moved - generalised_iou(one, other)).abs() <= 1e5 * EPS


def test_far_boxes_are_worse_the_farther_they_are() -> None:
    box = torch.tensor([0.0, 0.0, 1.0, 1.0])
    values = [float(generalised_iou(box, box + shift)) for shift in (0, 0.5, 1, 2, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    assert iou(box, box + 1) == 0


def test_a_box_turned_inside_out_has_no_area_and_no_overlap() -> None:
    inside_out, box = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert area(inside_out) == 0
    assert iou(inside_out, inside_out) == 0
    assert torch.isfinite(generalised_iou(inside_out, box))


def test_pairs_broadcast() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (to_corners(torch.rand(count, 4, generator=generator)) for count in (3, 5))
    table = generalised_iou(one[:, None], other)
    assert table.shape == (3, 5)
    assert table[2, 4] == generalised_iou(one[2], other[4])
