"""Annotated data sets by name; each is one file and one line here, imported when first asked for."""

from functools import lru_cache
from importlib import import_module

from distill.detection.config import DetectionData
from distill.detection.data.annotations import Annotations
from distill.errors import DataError, RecipeError

__all__ = ["DATASETS", "Annotations", "edge", "load"]

DATASETS: dict[str, str] = {
    "coco": "distill.detection.data.coco",
    "scenes": "distill.detection.data.scenes",
}


# A run asks for its data some three times, and COCO's training annotations are 450 MB of JSON.
@lru_cache(maxsize=2)
def load(data: DetectionData) -> tuple[Annotations, Annotations]:
    """Return the (training, held-out) images of a data set.

    Raises: RecipeError with the valid names or with a key that this data set can't follow; DataError where the files
    aren't what the data set promises, or where not one object is left to learn from or to be judged by.
    """
    if data.name not in DATASETS:
        raise RecipeError("data.name", f"one of {', '.join(DATASETS)}", data.name)
    parts = import_module(DATASETS[data.name]).load(data)
    for part in parts:
        if part.crowds.all():
            got = "; ".join(part.left_out()) or "none"
            raise DataError(part.folder, "objects that are no crowds", got, cure="mend its annotations")
    return parts


def edge(data: DetectionData) -> int:
    """Return the shorter edge of images in pixels."""
    return data.image_size or import_module(DATASETS[data.name]).EDGE
