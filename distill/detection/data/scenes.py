"""Scenes: scikit-learn's real 8 × 8 digits at places and sizes, amid scraps of digits. 10 classes.

Drawn once from a fixed seed into a folder in COCO's layout, and read like any other.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from distill.detection.config import DetectionData
from distill.detection.data.annotations import Annotations
from distill.detection.data.coco import read_parts
from distill.errors import DataError, RecipeError

EDGE = 64
COUNTS = {"train": 2000, "val": 300}
# Another drawing is another folder: raise it with every change of the pictures.
_VERSION = 2
_SEED, _HELD_OUT = 0, 600  # digits that held-out scenes show, and no training scene
# Edges of digits in pixels, objects of a scene, scraps of digits between them.
_EDGES, _OBJECTS, _SCRAPS = (24, 30), (2, 4), (0, 2)
_MOST_COVERED = 0.1  # of the smaller of two boxes by the other
_TRIES = 20
_INK = 0.25  # of a digit's darkest: a pixel that belongs to it


def load(data: DetectionData) -> tuple[Annotations, Annotations]:
    """Return the (training, held-out) scenes of `data.path`, or of a cache folder; they are drawn if need be.

    Raises: RecipeError for mirror images; DataError if the folder can't be written.
    """
    if data.flip > 0:
        raise RecipeError("data.flip", "0 for digits, whose mirror images are none", data.flip)
    return read_parts(prepared(Path(data.path).expanduser() if data.path else _cache()))


def prepared(folder: Path) -> Path:
    """Return `folder` with the scenes in it. They are drawn beside it and moved there whole."""
    if not (folder / "annotations").is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            write(beside, COUNTS)
            _move(beside, folder)
        except OSError as error:
            cure = "give another folder by data.path"
            raise DataError(folder, "a folder that can be written", str(error), cure=cure) from error
    return folder


def write(root: Path, counts: dict[str, int]) -> None:
    """Draw `counts` scenes of each part into a folder, in COCO's layout. 1.5 ms a scene."""
    pixels, labels = load_digits(return_X_y=True)
    ink = pixels.reshape(-1, 8, 8) / 16
    split = train_test_split(ink, labels, test_size=_HELD_OUT, random_state=_SEED, stratify=labels)
    parts = [np.asarray(part) for part in split]
    digits = {"train": (parts[0], parts[2]), "val": (parts[1], parts[3])}
    for place, (part, count) in enumerate(counts.items()):
        (root / part).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number in range(count):
            picture, found = scene(*digits[part], np.random.default_rng([_SEED, place, number]))
            name = f"{number:05d}.png"
            Image.fromarray(picture).save(root / part / name)
            images.append({"id": number + 1, "file_name": name, "width": EDGE, "height": EDGE})
            for label, box in found:
                entry = {"id": len(objects) + 1, "image_id": number + 1, "category_id": label + 1, "bbox": box}
                objects.append({**entry, "area": box[2] * box[3], "iscrowd": 0})
        categories = [{"id": label + 1, "name": str(label)} for label in range(10)]
        content = {"images": images, "annotations": objects, "categories": categories}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{part}.json").write_text(json.dumps(content), encoding="utf-8")


def scene(
    digits: Float[np.ndarray, "n 8 8"], labels: Int[np.ndarray, "n"], generator: np.random.Generator
) -> tuple[UInt8[np.ndarray, "edge edge 3"], list[tuple[int, list[int]]]]:
    """Return a picture and its objects: (label, [left, top, width, height]) in pixels, tight around the ink."""
    # A background of two colours that run into each other.
    corners = generator.uniform(0.0, 0.2, (2, 2, 3))
    ramp = np.linspace(0, 1, EDGE)[:, None, None]
    canvas = corners[0, 0] + (corners[0, 1] - corners[0, 0]) * ramp + (corners[1, 0] - corners[0, 0]) * ramp[:, 0]
    for _ in range(int(generator.integers(*_SCRAPS, endpoint=True))):
        _paint(canvas, _scrap(digits, generator), generator)
    found: list[tuple[int, list[int]]] = []
    for _ in range(int(generator.integers(*_OBJECTS, endpoint=True))):
        chosen = int(generator.integers(len(digits)))
        edge = round(float(np.exp(generator.uniform(*np.log(_EDGES)))))
        ink = _enlarged(digits[chosen], (edge, edge))
        box = _place(ink, [box for _, box in found], generator)
        if box is not None:
            top, left = box[0]
            _paint(canvas, ink, generator, at=(top, left))
            found.append((int(labels[chosen]), box[1]))
    canvas += generator.normal(0, 0.02, canvas.shape)
    return (255 * canvas.clip(0, 1)).astype(np.uint8), found


def _place(
    ink: Float[np.ndarray, "h w"], others: Sequence[list[int]], generator: np.random.Generator
) -> tuple[tuple[int, int], list[int]] | None:
    """Return where an image of ink goes, and its box, so that it hides no other one; None if no try finds room."""
    rows, columns = (np.flatnonzero((ink > _INK).any(axis)) for axis in (1, 0))
    for _ in range(_TRIES):
        top, left = (int(generator.integers(EDGE - side + 1)) for side in ink.shape)
        spans = (left + columns[0], top + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        box = [int(each) for each in spans]
        if all(_covered(box, other) <= _MOST_COVERED for other in others):
            return (top, left), box
    return None


def _covered(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of the smaller box that the other covers."""
    shared = 1.0
    for axis in (0, 1):
        low, high = max(one[axis], other[axis]), min(one[axis] + one[axis + 2], other[axis] + other[axis + 2])
        shared *= max(0, high - low)
    return shared / min(one[2] * one[3], other[2] * other[3])


def _scrap(digits: Float[np.ndarray, "n 8 8"], generator: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Return a 4 × 4 corner of some digit, enlarged: strokes that are no digit."""
    row, column = generator.integers(5, size=2)
    piece = digits[int(generator.integers(len(digits)))][row : row + 4, column : column + 4]
    edge = int(generator.integers(6, 12))
    return _enlarged(piece, (edge, edge))


def _enlarged(ink: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "high wide"]:
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)


def _paint(
    canvas: Float[np.ndarray, "edge edge 3"],
    ink: Float[np.ndarray, "h w"],
    generator: np.random.Generator,
    *,
    at: tuple[int, int] | None = None,
) -> None:
    """Lay ink of some light colour over the canvas, anywhere unless `at` (top, left) says where."""
    top, left = at or (int(generator.integers(canvas.shape[axis] - ink.shape[axis] + 1)) for axis in (0, 1))
    part = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
    colour = generator.uniform(0.8, 1.0, 3)
    part += ink[..., None] * (colour - part)


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    counts = "-".join(map(str, COUNTS.values()))
    return root / "stiefel-distill" / f"scenes-v{_VERSION}-{EDGE}-{counts}"


def _move(beside: Path, folder: Path) -> None:
    try:
        os.rename(beside, folder)
    except OSError:
        # Another process was quicker; what it drew is the same.
        shutil.rmtree(beside)
        if not (folder / "annotations").is_dir():
            raise
