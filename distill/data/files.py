"""Labelled images in files: their names and labels in memory, their content read by worker processes."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from distill.config import Data
from distill.data.decode import Decoder
from distill.data.order import InOrder, Order
from distill.data.reader import DecodingReader, broken_data
from distill.data.source import Source
from distill.data.store import Store
from distill.data.transforms import NORMALISATIONS

_SIZE = 224


class Files(Source):
    """Images of a store, as `data` wants them: cut to its size, decoded by its workers.

    labels: (N,); class_names: in the order of their numbers. skipped: why broken images were left out, by their
    names, noted by every reader of these images and their subsets.
    """

    channels = 3

    def __init__(
        self,
        store: Store,
        labels: Int[Tensor, "n"],
        class_names: Sequence[str],
        data: Data,
        *,
        origin: Int[Tensor, "n"] | None = None,
        skipped: dict[str, str] | None = None,
    ):
        self.skipped = {} if skipped is None else skipped
        self.store, self.labels, self.class_names, self.data = store, labels, class_names, data
        self.origin = torch.arange(len(labels), device=labels.device) if origin is None else origin
        self.classes, self.image_size = len(class_names), data.image_size or _SIZE
        self.normalisation = NORMALISATIONS[data.normalisation]

    def names(self) -> list[str]:
        """Return the images' names in their store."""
        return [self.store.name(number) for number in self._numbers().tolist()]

    def evaluation(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Yield every image that can be decoded once, in order, as batches of up to `size`.

        Raises: DataError if none can be decoded.
        """
        reader = self._reader(InOrder(len(self), size), None)
        count = 0
        for step in range(-(-len(self) // size)):
            pixels, index = reader[step]
            count += len(index)
            if len(index):
                yield {"pixels": pixels, "labels": self.labels[index], "index": self.origin[index]}
        if not count:
            raise broken_data(self.data.path, self.skipped)

    def subset(self, index: Int[Tensor, "m"]) -> "Files":
        """Return some of the images, by their place here."""
        index = index.to(self.labels.device)
        return self._with(self.labels[index], self.origin[index])

    def to(self, device: str) -> "Files":
        """Return the images with their batches on a device."""
        return self._with(self.labels.to(device), self.origin.to(device))

    def reader(self, order: Order, data: Data) -> DecodingReader:
        """Return what decodes and augments batch after batch; a broken image is replaced by the next one here.

        Raises: MissingExtraError without torchvision.
        """
        return self._reader(order, data)

    def fingerprint(self) -> str:
        """Return a hash of names, sizes and labels; it looks at every file once and reads none."""
        content = hashlib.sha256()
        for number, label in zip(self._numbers().tolist(), self.labels.tolist(), strict=True):
            content.update(f"{self.store.name(number)}\0{self.store.size(number)}\0{label}\n".encode(errors="replace"))
        return content.hexdigest()

    def _with(self, labels: Int[Tensor, "m"], origin: Int[Tensor, "m"]) -> "Files":
        return Files(self.store, labels, self.class_names, self.data, origin=origin, skipped=self.skipped)

    def _numbers(self) -> Int[np.ndarray, "n"]:
        return self.origin.cpu().numpy()

    def _reader(self, order: Order | InOrder, augmentation: Data | None) -> DecodingReader:
        is_training = augmentation is not None
        decoder = Decoder(self.store, self._numbers(), self.image_size, augmentation or self.data, is_training)
        return DecodingReader(decoder, order, self.data, self.labels.device, self.skipped)
