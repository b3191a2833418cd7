"""Folders in COCO's layout made for a test, whole and broken ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from image_folders import picture

from distill.detection.data.annotations import Annotations, read

# Numbers with gaps, out of order, as COCO's are.
CATEGORIES = [{"id": 7, "name": "bee"}, {"id": 3, "name": "ant"}, {"id": 12, "name": "cat"}]


def content(count: int, *, seed: int = 0, crowds: bool = True, largest: int = 120) -> dict[str, Any]:
    """Return annotations of `count` images of various sizes; every fifth has no object."""
    generator = np.random.default_rng(seed)
    images, objects = [], []
    for place in range(count):
        width, height = (int(each) for each in generator.integers(60, 160, 2))
        images.append({"id": 100 - place, "file_name": f"{place:03d}.jpg", "width": width, "height": height})
        for _ in range(0 if place % 5 == 4 else int(generator.integers(1, 5))):
            box_width, box_height = (int(generator.integers(4, min(largest, side))) for side in (width, height))
            left, top = int(generator.integers(width - box_width)), int(generator.integers(height - box_height))
            box = [left, top, box_width, box_height]
            is_crowd = int(crowds and generator.random() < 0.1)
            category = CATEGORIES[int(generator.integers(3))]["id"]
            entry = {"id": len(objects) + 1, "image_id": 100 - place, "category_id": category, "bbox": box}
            objects.append({**entry, "area": 0.8 * box_width * box_height, "iscrowd": is_crowd})
    return {"images": images, "annotations": objects, "categories": CATEGORIES}


def write_part(root: Path, part: str, annotated: dict[str, Any]) -> None:
    """Write annotations and their images, each a function of its place."""
    (root / part).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(annotated))
    for place, image in enumerate(annotated["images"]):
        picture(place, (image["width"], image["height"])).save(root / part / image["file_name"])


def make_coco(root: Path, *, train: int = 12, val: int = 6) -> Path:
    """Write a folder in COCO's layout."""
    write_part(root, "train2017", content(train))
    write_part(root, "val2017", content(val, seed=1))
    return root


def annotations(root: Path, *, seed: int = 0, crowds: bool = True, largest: int = 120) -> Annotations:
    """Return the annotations of a part that was written to `root`."""
    write_part(root, "val2017", content(40, seed=seed, crowds=crowds, largest=largest))
    return read(root / "annotations" / "instances_val2017.json", root / "val2017")
