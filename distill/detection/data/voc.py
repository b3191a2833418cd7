"""Pascal VOC's annotations written as COCO's: a folder that `coco` reads, its images left where they are."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from distill.errors import DataError
from distill.run_folder import write_atomically

# In VOC's own order.
CATEGORIES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def convert(roots: Sequence[Path], out: Path, parts: Mapping[str, str]) -> dict[str, int]:
    """Write out/annotations/{train,val}.json of VOC folders, and return what was left out: its reason → how many.

    roots: folders such as VOCdevkit/VOC2012, with Annotations, ImageSets/Main and JPEGImages. parts: the list in
    ImageSets/Main that each of train and val is; a root without that list adds nothing to it. Boxes, which VOC counts
    from 1 and to the last pixel, become (left, top, width, height) from 0. Objects that VOC calls difficult become
    crowds: not trained on, and neither hit nor missed in the evaluation.

    Raises: DataError if no root has a part's list, it is no text or names no image that is annotated, or the files
    can't be written.
    """
    faults: Counter[str] = Counter()
    for part, listed in parts.items():
        lists = [(root, root / "ImageSets" / "Main" / f"{listed}.txt") for root in roots]
        found = [(root, path) for root, path in lists if path.is_file()]
        if not found:
            named = ", ".join(str(path) for _, path in lists)
            raise DataError(roots[0], f"the list {named}", "none", cure="name VOC's folders of a year, or another list")
        content = _content(found, out, faults)
        if not content["images"]:
            got = "; ".join(f"{count} {reason}" for reason, count in faults.items()) or "an empty one"
            raise DataError(found[0][1], "a list of annotated images", got, cure="unpack Annotations beside it")
        try:
            (out / "annotations").mkdir(parents=True, exist_ok=True)
            write_atomically(out / "annotations" / f"{part}.json", json.dumps(content))
        except OSError as error:
            raise DataError(out, "a folder that can be written", str(error), cure="name another by --out") from error
    return dict(faults)


def _content(lists: Sequence[tuple[Path, Path]], out: Path, faults: Counter[str]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for root, path in lists:
        # Without links on the way: `..` of one leads out of where it points to.
        folder = os.path.relpath(root.resolve() / "JPEGImages", out.resolve())
        for line in _lines(path):
            words = line.split()
            if not words:
                continue
            try:
                described = ElementTree.parse(root / "Annotations" / f"{words[0]}.xml").getroot()
                name = f"{folder}/{described.findtext('filename') or f'{words[0]}.jpg'}"
                size = {side: int(described.findtext(f"size/{side}", "")) for side in ("width", "height")}
            except (OSError, ElementTree.ParseError, ValueError):
                faults["images whose annotation is missing or broken"] += 1
                continue
            images.append({"id": len(images) + 1, "file_name": name, **size})
            for found in described.iter("object"):
                entry = _object(found)
                if entry is None:
                    faults["objects of unknown categories or without a box"] += 1
                else:
                    objects.append({"id": len(objects) + 1, "image_id": len(images), **entry})
    categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, 1)]
    return {"images": images, "annotations": objects, "categories": categories}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, "a list of images' names", str(error), cure="unpack it again") from error


def _object(found: ElementTree.Element) -> dict[str, Any] | None:
    name = found.findtext("name", "").strip()
    try:
        left, top, right, bottom = (float(found.findtext(f"bndbox/{side}", "")) for side in _SIDES)
    except ValueError:
        return None
    if name not in CATEGORIES:
        return None
    width, height = right - left + 1, bottom - top + 1
    is_difficult = int(found.findtext("difficult", "0").strip() == "1")
    box = {"bbox": [left - 1, top - 1, width, height], "area": width * height, "iscrowd": is_difficult}
    return {"category_id": CATEGORIES.index(name) + 1, **box}
