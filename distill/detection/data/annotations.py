"""Annotated images of one part of a data set, read from COCO's JSON; what is broken is left out and counted."""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from distill.errors import DataError

_LOG = logging.getLogger(__name__)
# Characters of an entry that a warning shows; a segmentation fills pages.
_LONGEST = 120


@dataclass(frozen=True)
class Annotations:
    """Images by number, 0 … n − 1, and their objects; objects of image i are those from first[i] to first[i + 1].

    numbers: COCO's own numbers of the images. sizes: (width, height) in pixels. boxes: (left, top, width, height) in
    pixels, as annotated: they may reach over an image's edge. labels: 0 … classes − 1, in the order of `categories`,
    which holds (COCO's own number, name). areas: in pixels, of the object, not of its box, where the file says so.
    crowds: whether a box holds many objects; such ones aren't trained on. faults: how many entries were left out, by
    the reason, with the first of each.
    """

    folder: Path
    names: Sequence[str]
    numbers: Int[np.ndarray, "n"]
    sizes: Int[np.ndarray, "n 2"]
    first: Int[np.ndarray, "n_plus_1"]
    boxes: Float[np.ndarray, "objects 4"]
    labels: Int[np.ndarray, "objects"]
    areas: Float[np.ndarray, "objects"]
    crowds: Bool[np.ndarray, "objects"]
    categories: Sequence[tuple[int, str]]
    faults: Mapping[str, tuple[int, str]]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> int:
        """How many categories there are."""
        return len(self.categories)

    def objects(self, image: int) -> slice:
        """Return where an image's objects stand."""
        return slice(int(self.first[image]), int(self.first[image + 1]))

    def subset(self, index: Int[np.ndarray, "m"]) -> "Annotations":
        """Return some of the images, by their place here, with their objects."""
        parts = [np.arange(*self.first[[image, image + 1]]) for image in index]
        objects = np.concatenate([*parts, np.zeros(0, np.int64)])
        return replace(
            self,
            names=[self.names[image] for image in index],
            numbers=self.numbers[index],
            sizes=self.sizes[index],
            first=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
            boxes=self.boxes[objects],
            labels=self.labels[objects],
            areas=self.areas[objects],
            crowds=self.crowds[objects],
        )

    def left_out(self) -> list[str]:
        """Return what was left out, a reason each."""
        return [f"{count} {reason}, such as {example}" for reason, (count, example) in self.faults.items()]

    def report(self) -> None:
        """Warn of what was left out, one line a reason."""
        for said in self.left_out():
            _LOG.warning("%s: left out %s", self.folder, said)


def read(path: Path, folder: Path, *, categories: Sequence[tuple[int, str]] | None = None) -> Annotations:
    """Return the annotations of a JSON file whose images lie in `folder`.

    categories: those of the training part, which objects of a held-out part must be of; by default the file's own.
    An image that isn't there, a box without area or all outside its image, a number or a category that means nothing:
    each is left out alone and counted in `faults`. An image without objects is kept.

    Raises: DataError if the file is no JSON of COCO's form, or not one image is left.
    """
    content = _load(path)
    reader = _Reader(folder)
    images = reader.images(content["images"])
    if not images:
        got = "; ".join(f"{count} {reason}, such as {first}" for reason, (count, first) in reader.faults().items())
        raise DataError(path, f"images that lie in {folder}", got or "none", cure="unpack the images there")
    known = list(categories) if categories is not None else reader.categories(content["categories"])
    found = reader.objects(content["annotations"], images, {number: label for label, (number, _) in enumerate(known)})
    counts = [len(found[number]) for number in images]
    objects = [each for number in images for each in found[number]]
    return Annotations(
        folder=folder,
        names=[name for name, _ in images.values()],
        numbers=np.array(list(images), dtype=np.int64),
        sizes=np.array([size for _, size in images.values()], dtype=np.int64).reshape(-1, 2),
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=np.array([each[0] for each in objects], dtype=np.float64).reshape(-1, 4),
        labels=np.array([each[1] for each in objects], dtype=np.int64),
        areas=np.array([each[2] for each in objects], dtype=np.float64),
        crowds=np.array([each[3] for each in objects], dtype=bool),
        categories=known,
        faults=reader.faults(),
    )


def _load(path: Path) -> dict[str, Any]:
    expected = "a JSON object with lists images, annotations and categories"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, expected, str(error), cure="download or write it again") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DataError(path, expected, f"no list {missing[0]}", cure="give annotations of objects' boxes")
    return content


class _Reader:
    """Turns entries into tuples; an entry that can't be is counted with its reason."""

    def __init__(self, folder: Path):
        self._folder, self._counts, self._examples = folder, Counter[str](), dict[str, str]()

    def faults(self) -> dict[str, tuple[int, str]]:
        return {reason: (count, self._examples[reason]) for reason, count in self._counts.items()}

    def images(self, entries: Sequence[Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        """Return {COCO's number: (file name, (width, height))} of the images that are there."""
        images = {}
        present: dict[str, set[str]] = {}
        for entry in entries:
            try:
                number, name = int(entry["id"]), str(entry["file_name"])
                size = (int(entry["width"]), int(entry["height"]))
            except (KeyError, TypeError, ValueError, OverflowError):
                self._fault("images without a number, a name or a size", repr(entry))
                continue
            below, _, file = name.rpartition("/")
            if below not in present:  # one look at a folder: 118 000 looks at files take a while
                inner = self._folder / below
                present[below] = set(os.listdir(inner)) if inner.is_dir() else set()
            if min(size) < 1:
                self._fault("images without a size", name)
            elif file not in present[below]:
                self._fault("images whose file is missing", name)
            elif number in images:
                self._fault("images with a number that another one has", name)
            else:
                images[number] = (name, size)
        return images

    def categories(self, entries: Sequence[Any]) -> list[tuple[int, str]]:
        """Return (COCO's number, name) of each category, in the order of the numbers."""
        found = {}
        for entry in entries:
            try:
                found[int(entry["id"])] = str(entry["name"])
            except (KeyError, TypeError, ValueError, OverflowError):
                self._fault("categories without a number or a name", repr(entry))
        return sorted(found.items())

    def objects(
        self, entries: Sequence[Any], images: Mapping[int, tuple[str, tuple[int, int]]], labels: Mapping[int, int]
    ) -> dict[int, list[tuple[list[float], int, float, bool]]]:
        """Return [(box, label, area, is a crowd)] of each image."""
        found: dict[int, list[tuple[list[float], int, float, bool]]] = {number: [] for number in images}
        for entry in entries:
            try:
                number, category = int(entry["image_id"]), int(entry["category_id"])
                left, top, width, height = box = [float(each) for each in entry["bbox"]]
                area = width * height if entry.get("area") is None else float(entry["area"])
                is_crowd = bool(int(entry.get("iscrowd") or 0))  # some tools write "0"
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                self._fault("objects without an image, a category or a box of four numbers", repr(entry))
                continue
            if number not in images:
                self._fault("objects of images that aren't there", repr(entry))
            elif category not in labels:
                self._fault("objects of unknown categories", repr(entry))
            elif not all(map(math.isfinite, [*box, area])) or min(width, height) <= 0:
                self._fault("objects whose box has no area", repr(entry))
            elif left >= images[number][1][0] or top >= images[number][1][1] or left + width <= 0 or top + height <= 0:
                self._fault("objects outside their image", repr(entry))
            else:
                found[number].append((box, labels[category], area, is_crowd))
        return found

    def _fault(self, reason: str, example: str) -> None:
        self._counts[reason] += 1
        self._examples.setdefault(reason, example if len(example) <= _LONGEST else f"{example[:_LONGEST]}…")
