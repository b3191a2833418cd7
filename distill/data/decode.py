"""From a file's bytes to an upright RGB image, and from a batch's files to its pixels."""

import io
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from distill.config import Data
from distill.data import transforms
from distill.data.order import Places
from distill.data.store import Store
from distill.data.transforms import Transform, drawn_from

# Broken images in a row after which a disk, not an image, is broken.
_MOST_BROKEN = 100


def decode(content: bytes) -> Image.Image:
    """Return the image as 8-bit RGB, turned as its EXIF says; transparency is dropped, 16 bits become their upper 8.

    Raises: whatever Pillow's many plugins raise for bytes that are no whole image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata, bytes as transparency, large images: none of it breaks one
        image = Image.open(io.BytesIO(content))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
            image = Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
        return image if image.mode == "RGB" else image.convert("RGB")


class Decoded(NamedTuple):
    """pixels: bytes. chosen: which images they are. broken: why others were left out, by their names."""

    pixels: UInt8[Tensor, "batch 3 size size"]
    chosen: Int[Tensor, "batch"]
    broken: dict[str, str]


@dataclass(frozen=True)
class Decoder(Dataset):
    """Makes the batch of some places: what a worker process runs.

    numbers: the store's number of each image. data: what is done to them. In training a broken image is replaced by
    the next one in `numbers`, in evaluation it is left out. No transform is kept here: a worker
    that doesn't inherit it by a fork must mend torchvision's import before it makes one.
    """

    store: Store
    numbers: Int[np.ndarray, "n"]
    size: int
    data: Data
    is_training: bool

    def __getitem__(self, places: Places) -> Decoded:
        """Return the images of these places, each drawn from its own word."""
        pixels = np.empty((len(places.index), 3, self.size, self.size), np.uint8)
        transform = self.transform()
        chosen, broken = [], {}
        for first, word in zip(places.index.tolist(), places.words[:, 0].tolist(), strict=True):
            found = self._first_whole(first, word, transform, broken)
            if found is not None:
                pixels[len(chosen)] = np.asarray(found[1]).transpose(2, 0, 1)
                chosen.append(found[0])
        return Decoded(torch.from_numpy(pixels[: len(chosen)]), torch.tensor(chosen, dtype=torch.int64), broken)

    def transform(self) -> Transform:
        """Return what is done to each image.

        Raises: MissingExtraError without torchvision.
        """
        make = transforms.training if self.is_training else transforms.evaluation
        return make(self.data, self.size)

    def _first_whole(
        self, first: int, word: int, transform: Transform, broken: dict[str, str]
    ) -> tuple[int, Image.Image] | None:
        """Return the first image from `first` on that isn't broken, and note the broken ones."""
        for further in range(_MOST_BROKEN if self.is_training else 1):
            place = (first + further) % len(self.numbers)
            number = int(self.numbers[place])
            # Pillow's plugins raise nearly anything for a broken file; and a transform that fails on one image,
            # whatever its shape, doesn't stop a run of days either.
            try:
                with drawn_from(word):
                    return place, transform(decode(self.store.read(number)))
            except Exception as error:
                broken[self.store.name(number)] = f"{type(error).__name__}: {error}"
        return None
