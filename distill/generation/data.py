"""The real images of a generation run: how many of them, which ones, and in −1 … 1.

train, reference = real_images(GenerationData(name="digits", fraction=0.1), seed=0)
batches = train.batches(50, 0, source_keys(data))  # batch k is a function of (seed, k) alone
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from distill import data
from distill.config import Data
from distill.data import Source
from distill.data.faces import load_faces
from distill.data.files import Files
from distill.data.folder import FolderStore, is_image, root_of
from distill.errors import DataError, RecipeError
from distill.generation.config import GenerationData

# Beside those of `distill.data`: few-shot sets, without classes and with no images held out.
FEW_SHOT = ("faces", "shots")
_SHOWN = 3


def names() -> list[str]:
    """Return the names that `data.name` takes."""
    return sorted({*data.DATASETS, *FEW_SHOT})


def real_images(keys: GenerationData, *, seed: int, reference: str = "held_out") -> tuple[Source, Source]:
    """Return (the images that are learnt from, the real images that samples are compared with), in −1 … 1.

    Which images are learnt from is a function of the keys and the seed, the same share of each class; a smaller
    fraction's are among a larger one's. reference: held_out images, or training: all of them, not only those learnt
    from. Few-shot sets hold none out: they are compared with all their images, as is customary.

    Raises: RecipeError, DataError.
    """
    whole, held_out = _load(keys)
    chosen = whole.subset(chosen_indices(whole, keys, seed=seed))
    return chosen, held_out if reference == "held_out" and keys.name not in FEW_SHOT else whole


def source_keys(keys: GenerationData) -> Data:
    """Return the keys by which `distill.data` reads and batches these images."""
    return Data(
        name=keys.name,
        path=keys.path,
        image_size=keys.image_size,
        workers=keys.workers,
        normalisation="half",
        labels_per_class=0,
        batch_size=keys.batch_size,
        augment="mirror" if keys.mirror else "none",
        cropped_share=1.0,
    )


def chosen_indices(images: Source, keys: GenerationData, *, seed: int) -> Int[Tensor, "m"]:
    """Return the places of the images that are learnt from, in order.

    Raises: RecipeError for a fraction, shots and list that contradict each other or can't be had; DataError for a
    listed name that is unknown.
    """
    if not 0 < keys.fraction <= 1:
        raise RecipeError("data.fraction", "a share above 0, at most 1", keys.fraction)
    if (keys.fraction < 1) + (keys.shots > 0) + (keys.list != "") > 1:
        raise RecipeError("data.fraction", "one of data.fraction, data.shots and data.list alone", keys.fraction)
    if keys.list:
        return _listed(images, Path(keys.list).expanduser())
    generator, chosen = torch.Generator().manual_seed(seed), []
    for label, found in _by_class(images):
        shuffled = found[torch.randperm(len(found), generator=generator)]
        chosen.append(shuffled[: _count(len(found), label, images.classes, keys)])
    return torch.cat(chosen).sort().values


def write_names(images: Source, file: Path) -> None:
    """Write which images these are, a line each, as `data.list` reads them."""
    file.write_text("".join(f"{name}\n" for name in images.names()), encoding="utf-8", errors="surrogateescape")


def _load(keys: GenerationData) -> tuple[Source, Source]:
    known = source_keys(keys)
    if keys.name not in FEW_SHOT:
        return data.load(known)
    images = load_faces(known) if keys.name == "faces" else _shots(known)
    return images, images


def _shots(known: Data) -> Files:
    """Return the images that lie in a folder itself, one class."""
    root = root_of(known.path)
    paths = sorted(os.fsencode(name) for name in os.listdir(root) if is_image(name))
    if not paths:
        raise DataError(root, "images in the folder itself", "none", cure="set data.name=folder for folders of classes")
    return Files(FolderStore(root, np.array(paths)), torch.zeros(len(paths), dtype=torch.long), [root.name], known)


def _by_class(images: Source) -> Iterator[tuple[int, Tensor]]:
    labels = images.labels.cpu()
    yield from ((label, (labels == label).nonzero().flatten()) for label in range(images.classes))


def _count(available: int, label: int, classes: int, keys: GenerationData) -> int:
    if not keys.shots:
        return min(available, max(1, round(keys.fraction * available)))
    if keys.shots % classes or keys.shots // classes > available:
        expected = f"a multiple of the {classes} classes, of which class {label} has {available} images"
        raise RecipeError("data.shots", expected, keys.shots)
    return keys.shots // classes


def _listed(images: Source, file: Path) -> Int[Tensor, "m"]:
    try:
        wanted = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise RecipeError("data.list", "a file with a name a line", f"{file} ({error})") from error
    wanted = [name for name in wanted if name]
    places = {name: place for place, name in enumerate(images.names())}
    unknown = [name for name in wanted if name not in places]
    if unknown or not wanted:
        got = ", ".join(unknown[:_SHOWN]) or "no name"
        example = next(iter(places))
        raise DataError(file, f"names of this data set's images, such as {example}", got, cure="mend these lines")
    return torch.tensor(sorted({places[name] for name in wanted}))
