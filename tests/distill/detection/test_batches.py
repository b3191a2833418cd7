"""Batches of annotated images are functions of seed and step; boxes go where their pixels go."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_coco import content, write_part
from torch import Tensor

from distill.data.order import Order
from distill.data.transforms import NORMALISATIONS
from distill.detection.config import DetectionData
from distill.detection.data import Annotations, geometry
from distill.detection.data.annotations import read
from distill.detection.data.batches import Batches, evaluation
from distill.detection.data.geometry import Plan
from distill.detection.evaluation import judge
from distill.errors import DataError, RecipeError

CPU, EDGE = torch.device("cpu"), 64
AUGMENTED = DetectionData(name="coco", batch_size=4, augment="resize_crop", flip=0.5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_part(folder, "train2017", content(22))
    return folder


@pytest.fixture(scope="module")
def annotated(root: Path) -> Annotations:
    return read(root / "annotations" / "instances_train2017.json", root / "train2017")


def batches(annotated: Annotations, data: DetectionData = AUGMENTED, **options: int) -> Batches:
    return Batches(annotated, data, EDGE, CPU, **{"seed": 3, **options})


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_batch_is_a_function_of_seed_and_step(annotated: Annotations) -> None:
    first, second = batches(annotated), batches(annotated, replace(AUGMENTED, workers=1))
    for step in (0, 1, 7, 3):
        assert_same(first[step], second[step])
    assert not torch.equal(first[0]["index"], batches(annotated, seed=4)[0]["index"])
    assert first.indices(7) == first[7]["index"].tolist()


def test_slices_of_two_processes_are_the_batch_of_one_in_the_same_padding(annotated: Annotations) -> None:
    # Three images each: no number of them must be even, as nothing is mixed.
    data = replace(AUGMENTED, batch_size=6)
    whole = batches(annotated, data)
    parts = [batches(annotated, data, rank=rank, world=2) for rank in range(2)]
    for step in range(3):
        halves = [part[step] for part in parts]
        for key in ("pixels", "padding", "index"):
            assert torch.equal(torch.cat([half[key] for half in halves]), whole[step][key])
        boxes = torch.cat([half["boxes"][half["labels"] >= 0] for half in halves])
        assert torch.equal(boxes, whole[step]["boxes"][whole[step]["labels"] >= 0])


def test_an_epoch_shows_each_image_at_most_once_and_few_batches_mix_shapes(annotated: Annotations) -> None:
    stream = batches(annotated)
    numbers = [stream.indices(step) for step in range(stream.per_epoch)]
    flat = [number for batch in numbers for number in batch]
    assert len(set(flat)) == len(flat) == 20
    wide = {int(number): bool(w > h) for number, (w, h) in zip(annotated.numbers, annotated.sizes, strict=True)}
    assert sum(len({wide[number] for number in batch}) > 1 for batch in numbers) <= 1


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 9), st.binary(min_size=9, max_size=60))
def test_grouped_orders_hold_every_image_once_and_whole_batches_of_one_group(
    seed: int, size: int, drawn: bytes
) -> None:
    groups = bytes(each % 3 for each in drawn)
    order = Order(len(groups), size, seed, groups=groups)
    seen = np.concatenate([order.whole(step) for step in range(order.per_epoch)])
    assert len(set(seen.tolist())) == len(seen) == order.per_epoch * size
    mixed = [len({groups[image] for image in order.whole(step)}) > 1 for step in range(order.per_epoch)]
    whole = sum(groups.count(group) // size for group in set(groups))
    assert not any(mixed[:whole])


def test_padding_is_where_no_pixel_is_and_boxes_lie_inside_their_image(annotated: Annotations) -> None:
    stream = batches(annotated)
    for step in range(6):
        batch = stream[step]
        assert not batch["pixels"].permute(0, 2, 3, 1)[batch["padding"]].any()
        assert not batch["padding"][:, 0, 0].any()
        boxes = batch["boxes"][batch["labels"] >= 0]
        low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
        # Shares of up to 1 in float32, halved and added.
        assert low.min() >= -1e-6
        assert high.max() <= 1 + 1e-6
        assert not batch["boxes"][batch["labels"] < 0].any()


def marked(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, width, height = box
    pixels[top : top + height, left : left + width] = 255
    return Image.fromarray(pixels)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(60, 200), st.integers(60, 200))
def test_boxes_go_where_their_pixels_go(word: int, width: int, height: int) -> None:
    box = (width // 4, height // 3, width // 3, height // 4)
    plan = geometry.training((width, height), EDGE, AUGMENTED, word)
    found = np.asarray(plan.image(marked((width, height), box)))[..., 0] >= 128
    moved, is_left = plan.boxes(np.array([box], np.float64))
    if is_left[0] and moved[0, 2:].min() > 2:
        rows, columns = (np.flatnonzero(found.any(axis)) for axis in (1, 0))
        low = np.array([columns[0], rows[0]])
        high = np.array([columns[-1] + 1, rows[-1] + 1])
        # An edge between two pixels shows at either of them.
        assert np.abs(low - moved[0, :2]).max() <= 1
        assert np.abs(high - moved[0, :2] - moved[0, 2:]).max() <= 1
    assert found.shape == plan.size[::-1]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.integers(1, 3000))
def test_plans_keep_to_the_edges_that_they_promise(word: int, width: int, height: int) -> None:
    for plan in (
        geometry.evaluation((width, height), 800),
        geometry.training((width, height), 800, AUGMENTED, word),
        geometry.training((width, height), 800, replace(AUGMENTED, augment="none"), word),
    ):
        assert min(plan.size) >= 1
        assert min(plan.size) <= 800
        assert max(plan.size) <= 1334
        left, top, right, bottom = plan.region
        assert 0 <= left < right <= width + 1e-6 * width
        assert 0 <= top < bottom <= height + 1e-6 * height


def test_flips_happen_as_often_as_asked() -> None:
    plans = [geometry.training((80, 60), EDGE, AUGMENTED, word) for word in range(400)]
    # 400 draws of a half: five standard deviations are 50.
    assert abs(sum(plan.is_flipped for plan in plans) - 200) <= 50
    assert not any(geometry.training((80, 60), EDGE, replace(AUGMENTED, flip=0.0), w).is_flipped for w in range(50))


def test_a_plan_without_a_change_changes_no_pixel() -> None:
    image = marked((30, 20), (5, 5, 10, 10))
    plan = Plan((0, 0, 30, 20), (30, 20))
    assert plan.image(image) is image
    boxes = np.array([[5.0, 5.0, 10.0, 10.0]])
    assert plan.boxes(boxes)[0].tolist() == boxes.tolist()


def test_the_evaluation_sees_every_image_once_with_its_own_pixels(annotated: Annotations) -> None:
    data = replace(AUGMENTED, normalisation="half")
    found: list[int] = []
    for batch in evaluation(annotated, data, EDGE, CPU, size=4):
        found += batch["index"].tolist()
        assert batch["pixels"].shape[-2:] == batch["padding"].shape[-2:]
        (mean, *_), (deviation, *_) = NORMALISATIONS["half"]
        inside = batch["pixels"].permute(0, 2, 3, 1)[~batch["padding"]] * deviation + mean
        assert -1e-6 <= inside.min() <= inside.max() <= 1 + 1e-6
    assert sorted(found) == sorted(annotated.numbers.tolist())


def test_a_broken_image_is_replaced_in_training_and_left_out_of_the_evaluation(tmp_path: Path) -> None:
    described = content(8)
    write_part(tmp_path, "train2017", described)
    first, second, third = (tmp_path / "train2017" / described["images"][place]["file_name"] for place in range(3))
    first.write_bytes(b"no image")
    second.write_bytes(third.read_bytes())  # of another size than annotated
    annotated = read(tmp_path / "annotations" / "instances_train2017.json", tmp_path / "train2017")
    stream = batches(annotated, replace(AUGMENTED, batch_size=8))
    batch = stream[0]
    assert len(batch["index"]) == 8
    assert set(stream.skipped) == {first.name, second.name}
    assert "annotated as" in stream.skipped[second.name]
    assert_same(batch, batches(annotated, replace(AUGMENTED, batch_size=8))[0])
    numbers = [n for batch in evaluation(annotated, AUGMENTED, EDGE, CPU, size=3) for n in batch["index"].tolist()]
    assert sorted(numbers) == sorted(annotated.numbers[2:].tolist())


def test_nothing_but_broken_images_is_one_sentence(tmp_path: Path) -> None:
    write_part(tmp_path, "train2017", content(3))
    for path in (tmp_path / "train2017").iterdir():
        path.write_bytes(b"no image")
    annotated = read(tmp_path / "annotations" / "instances_train2017.json", tmp_path / "train2017")
    with pytest.raises(DataError, match="broken"):
        batches(annotated, replace(AUGMENTED, batch_size=2))[0]
    # Another process may have whole ones.
    assert list(evaluation(annotated, AUGMENTED, EDGE, CPU, size=2)) == []
    with pytest.raises(DataError, match="broken"):
        judge(annotated, [], annotated.classes)


def test_uneven_slices_are_refused(annotated: Annotations) -> None:
    with pytest.raises(RecipeError, match=r"data\.batch_size"):
        batches(annotated, world=3)
