"""COCO's layout: annotations/instances_train2017.json beside train2017/, and val alike; any year, or none.

Images lie in a folder named after the part, in images/, or where their names in the file say.
"""

import re
from pathlib import Path

from distill.data.folder import root_of
from distill.detection.config import DetectionData
from distill.detection.data.annotations import Annotations, read
from distill.errors import DataError

EDGE = 800


def load(data: DetectionData) -> tuple[Annotations, Annotations]:
    """Return the (training, held-out) images of a folder.

    Raises: RecipeError without a folder; DataError where a part has no annotations or no images.
    """
    return read_parts(root_of(data.path))


def read_parts(root: Path) -> tuple[Annotations, Annotations]:
    """Return the (training, held-out) images of a folder in COCO's layout.

    Raises: DataError.
    """
    train = read(*_part(root, "train"))
    return train, read(*_part(root, "val"), categories=train.categories)


def _part(root: Path, part: str) -> tuple[Path, Path]:
    """Return a part's annotations and the folder that its images' names begin in."""
    pattern = re.compile(rf"(?:instances_)?({part}\d*)\.json")
    inside = root / "annotations"
    found = sorted(path.name for path in inside.iterdir() if pattern.fullmatch(path.name)) if inside.is_dir() else []
    if len(found) != 1:
        expected = f"one file annotations/instances_{part}2017.json, any year or none"
        raise DataError(root, expected, " and ".join(found) or "none", cure="see docs/detection.md")
    match = pattern.fullmatch(found[0])
    assert match is not None
    folders = [root / match[1], root / "images" / match[1], root / "images"]
    return inside / found[0], next((folder for folder in folders if folder.is_dir()), root)
