"""Data sets by name; each is a function and one line here, imported when first asked for."""

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from importlib import import_module

import PIL

from distill.config import Data
from distill.data.source import Batches, Source
from distill.errors import RecipeError

__all__ = ["DATASETS", "Batches", "Source", "load", "transform_fingerprint"]

DATASETS: dict[str, str] = {
    "digits": "distill.data.digits:load",
    "cifar10": "distill.data.cifar:load_10",
    "cifar100": "distill.data.cifar:load_100",
    "faces": "distill.data.faces:load",
    "folder": "distill.data.folder:load",
    "imagenet": "distill.data.imagenet:load",
    "shards": "distill.data.shards:load",
}

# What changes no pixel of any batch.
_WITHOUT_EFFECT = ("path", "workers", "labels_per_class", "unlabelled", "label_smoothing")


# A run asks for its data some three times, and listing ImageNet's files takes a while.
@lru_cache(maxsize=4)
def load(data: Data) -> tuple[Source, Source]:
    """Return the (training, test) images of a data set.

    Raises: RecipeError with the valid names or with a key that this data set can't follow; DataError where the files
    aren't what the data set promises.
    """
    if data.name not in DATASETS:
        raise RecipeError("data.name", f"one of {', '.join(DATASETS)}", data.name)
    module, _, function = DATASETS[data.name].partition(":")
    return getattr(import_module(module), function)(data)


def transform_fingerprint(data: Data) -> str:
    """Return a hash of all that is done to an image between its file and a batch, Pillow's version included."""
    keys = {key: value for key, value in asdict(data).items() if key not in _WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps([keys, PIL.__version__]).encode()).hexdigest()
