"""COCO's layout is read whole, and what is broken in it is left out, counted and named."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_coco import content, make_coco, write_part

from distill.detection import data
from distill.detection.config import DetectionData
from distill.detection.data.annotations import read
from distill.detection.data.coco import read_parts
from distill.errors import DataError, RecipeError


def read_back(root: Path, annotated: dict[str, Any]):
    write_part(root, "val2017", annotated)
    return read(root / "annotations" / "instances_val2017.json", root / "val2017")


def test_every_image_and_object_is_read_and_categories_are_numbered_in_order(tmp_path: Path) -> None:
    annotated = content(20)
    found = read_back(tmp_path, annotated)
    assert found.names == [image["file_name"] for image in annotated["images"]]
    assert found.numbers.tolist() == [image["id"] for image in annotated["images"]]
    assert found.categories == [(3, "ant"), (7, "bee"), (12, "cat")]
    assert len(found.boxes) == len(annotated["annotations"])
    for image, number in enumerate(found.numbers):
        own = [entry for entry in annotated["annotations"] if entry["image_id"] == number]
        assert found.boxes[found.objects(image)].tolist() == [entry["bbox"] for entry in own]
        assert found.areas[found.objects(image)].tolist() == [entry["area"] for entry in own]
    assert not found.faults


# What makes an annotation broken, and what is said of it.
BROKEN: dict[str, tuple[Any, str]] = {
    "no box": ({"image_id": 100, "category_id": 3}, "without an image, a category or a box"),
    "three numbers": ({"image_id": 100, "category_id": 3, "bbox": [1, 2, 3]}, "without an image, a category or a box"),
    "words": ({"image_id": 100, "category_id": 3, "bbox": list("abcd")}, "without an image, a category or a box"),
    "no dictionary": ("broken", "without an image, a category or a box"),
    "no area": ({"image_id": 100, "category_id": 3, "bbox": [1, 2, 0, 4]}, "no area"),
    "inside out": ({"image_id": 100, "category_id": 3, "bbox": [5, 5, -2, 4]}, "no area"),
    "not a number": ({"image_id": 100, "category_id": 3, "bbox": [1, float("nan"), 2, 4]}, "no area"),
    "endless": ({"image_id": 100, "category_id": 3, "bbox": [1, 1, float("inf"), 4]}, "no area"),
    "outside": ({"image_id": 100, "category_id": 3, "bbox": [5000, 5, 2, 4]}, "outside their image"),
    "left of it": ({"image_id": 100, "category_id": 3, "bbox": [-9, 5, 9, 4]}, "outside their image"),
    "unknown category": ({"image_id": 100, "category_id": 4, "bbox": [1, 1, 2, 4]}, "unknown categories"),
    "unknown image": ({"image_id": 5000, "category_id": 3, "bbox": [1, 1, 2, 4]}, "images that aren't there"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_object_is_left_out_counted_and_named(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry, reason = BROKEN[name]
    annotated = content(4)
    whole = len(annotated["annotations"])
    annotated["annotations"] = [entry, *annotated["annotations"], entry]
    found = read_back(tmp_path, annotated)
    assert len(found.boxes) == whole
    (said,) = found.faults
    assert reason in said
    assert found.faults[said][0] == 2
    with caplog.at_level(logging.WARNING):
        found.report()
    assert "left out 2 objects" in caplog.text
    assert reason in caplog.text


def test_words_and_nulls_that_tools_write_are_understood(tmp_path: Path) -> None:
    annotated = content(1)
    entry = {"image_id": 100, "category_id": 3, "bbox": [1, 2, 3, 4]}
    annotated["annotations"] = [{**entry, "iscrowd": "0", "area": None}, {**entry, "iscrowd": None}]
    found = read_back(tmp_path, annotated)
    assert found.crowds.tolist() == [False, False]
    assert found.areas.tolist() == [12, 12]
    assert not found.faults


@pytest.mark.parametrize(
    ("part", "lost", "reason"),
    [
        ("train2017", "annotations", "got none"),
        ("train2017", "categories", "unknown categories"),
        ("val2017", "annotations", "got none"),
    ],
)
def test_a_part_without_any_object_is_one_sentence(part: str, lost: str, reason: str, tmp_path: Path) -> None:
    path = make_coco(tmp_path) / "annotations" / f"instances_{part}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), lost: []}))
    with pytest.raises(DataError, match=f"{part}: expected objects.*{reason}"):
        data.load(DetectionData(name="coco", path=str(tmp_path)))


def test_missing_images_leave_with_their_objects(tmp_path: Path) -> None:
    annotated = content(6)
    write_part(tmp_path, "val2017", annotated)
    gone = annotated["images"][0]
    (tmp_path / "val2017" / gone["file_name"]).unlink()
    found = read(tmp_path / "annotations" / "instances_val2017.json", tmp_path / "val2017")
    assert len(found) == 5
    assert gone["id"] not in found.numbers
    assert "images whose file is missing" in found.faults
    lost = sum(entry["image_id"] == gone["id"] for entry in annotated["annotations"])
    assert found.faults["objects of images that aren't there"][0] == lost


@pytest.mark.parametrize("entry", ["broken", {"id": 1}, {"id": 1, "file_name": "a.jpg", "width": "wide", "height": 3}])
def test_a_broken_image_entry_is_left_out(entry: object, tmp_path: Path) -> None:
    annotated = content(3)
    write_part(tmp_path, "val2017", annotated)
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps({**annotated, "images": [entry, *annotated["images"]]}))
    found = read(path, tmp_path / "val2017")
    assert len(found) == 3
    assert len(found.faults) == 1


def test_an_empty_list_of_objects_is_no_error(tmp_path: Path) -> None:
    found = read_back(tmp_path, {**content(3), "annotations": []})
    assert len(found) == 3
    assert len(found.boxes) == 0
    assert found.classes == 3


@pytest.mark.parametrize(
    "text", ["", "[1, 2", "[]", '{"images": []}', '{"images": {}, "annotations": [], "categories": []}']
)
def test_a_file_that_is_no_coco_json_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(DataError, match="expected a JSON object with lists"):
        read(tmp_path / "broken.json", tmp_path)


def test_no_image_at_all_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "some.json").write_text(json.dumps(content(3)))
    with pytest.raises(DataError, match="images whose file is missing"):
        read(tmp_path / "some.json", tmp_path)


def test_a_folder_is_read_in_two_parts_with_the_same_categories(tmp_path: Path) -> None:
    train, val = read_parts(make_coco(tmp_path))
    assert (len(train), len(val)) == (12, 6)
    assert train.categories == val.categories


@pytest.mark.parametrize("lost", ["annotations/instances_train2017.json", "val2017"])
def test_a_missing_part_is_named(lost: str, tmp_path: Path) -> None:
    make_coco(tmp_path)
    (tmp_path / lost).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=Path(lost).stem):
        read_parts(tmp_path)


def test_a_subset_keeps_each_image_with_its_own_objects(tmp_path: Path) -> None:
    whole = read_back(tmp_path, content(10))
    index = np.array([7, 4, 0])
    part = whole.subset(index)
    assert part.numbers.tolist() == whole.numbers[index].tolist()
    for place, image in enumerate(index.tolist()):
        assert part.boxes[part.objects(place)].tolist() == whole.boxes[whole.objects(image)].tolist()
    assert len(whole.subset(np.zeros(0, np.int64)).boxes) == 0


def test_unknown_data_and_a_missing_folder_are_recipe_errors(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="one of coco, scenes"):
        data.load(DetectionData(name="moon"))
    with pytest.raises(RecipeError, match=r"data\.path"):
        data.load(DetectionData(name="coco", path=str(tmp_path / "nowhere")))
