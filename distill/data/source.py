"""The contract of labelled images, wherever they lie, and their batches: functions of a seed and a step alone."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.config import Data
from distill.data.augment import erase, mix, random_mirror, random_shift, soft_labels
from distill.data.order import Order
from distill.errors import RecipeError


class Source(ABC):
    """Labelled images of one size and a number of classes.

    labels: (N,), 0 … classes − 1. origin: (N,), each image's number in the whole data set, of which this may be a
    subset. Both are on the device where batches come out. normalisation: (mean, std), a number a channel, of pixels
    that were in 0 … 1; None where they never were.
    """

    labels: Int[Tensor, "n"]
    origin: Int[Tensor, "n"]
    classes: int
    channels: int
    image_size: int
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def few(self, per_class: int, *, seed: int) -> "Source":
        """Return `per_class` images of each class, drawn by `seed`; all images if it is 0.

        Raises: RecipeError if a class has fewer.
        """
        if per_class == 0:
            return self
        generator, labels, chosen = torch.Generator().manual_seed(seed), self.labels.cpu(), []
        for label in range(self.classes):
            found = torch.nonzero(labels == label).flatten()
            if len(found) < per_class:
                raise RecipeError("data.labels_per_class", f"at most {len(found)}, what class {label} has", per_class)
            chosen.append(found[torch.randperm(len(found), generator=generator)[:per_class]])
        return self.subset(torch.cat(chosen))

    def batches(self, size: int, seed: int, data: Data) -> "Batches":
        """Return shuffled batches of `size`, augmented as `data` says."""
        return Batches(self, Order(len(self), size, seed, data.repeats), data)

    def selection(self) -> str:
        """Return a hash of which images of the data set these are."""
        return hashlib.sha256(self.origin.cpu().numpy().tobytes()).hexdigest()

    def names(self) -> list[str]:
        """Return what a user finds each image by: its number in the data set, or its file's name."""
        return [str(number) for number in self.origin.tolist()]

    @abstractmethod
    def evaluation(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Yield every image once, in order and without augmentation, as batches of up to `size`."""

    @abstractmethod
    def subset(self, index: Int[Tensor, "m"]) -> "Source":
        """Return some of the images, by their place here."""

    @abstractmethod
    def to(self, device: str) -> "Source":
        """Return the images with their batches on a device."""

    @abstractmethod
    def reader(self, order: Order, data: Data) -> "Reader":
        """Return what reads the images of batch after batch."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the images, which ones and what is known of their content."""


class Reader(ABC):
    """Reads the images of a step's batch."""

    @property
    @abstractmethod
    def skipped(self) -> Mapping[str, str]:
        """Why each broken image that was met was left out, by its name."""

    @abstractmethod
    def __getitem__(self, step: int) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, "batch"]]:
        """Return (normalised pixels, which images of the source they are); the pixels may be written to."""


class Batches:
    """An endless stream of shuffled, augmented batches: batch k is a function of (seed, k) alone.

    So a resumed run sees what an uninterrupted one sees, without any generator's state in the checkpoint.
    """

    def __init__(self, source: Source, order: Order, data: Data):
        self._source, self._order, self._data = source, order, data
        self._reader = source.reader(order, data)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return self._order.per_epoch

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why each broken image that was met was replaced by another, by its name."""
        return self._reader.skipped

    def shard(self, rank: int, world: int) -> "Batches":
        """Return the stream of rank's contiguous slices of these very batches.

        Raises: RecipeError unless every slice is equal and even.
        """
        return Batches(self._source, self._order.shard(rank, world), self._data)

    def indices(self, step: int) -> list[int]:
        """Return the numbers in the whole data set of a step's images, all processes' together; nothing is read."""
        return self._source.origin[torch.from_numpy(self._order.whole(step)).to(self._source.origin.device)].tolist()

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return {"pixels": (batch, channels, height, width), "labels": (batch,), "index": (batch,)}.

        Where images are mixed or labels smoothed, labels are probabilities (batch, classes). index: the images'
        numbers in the whole data set; where two are mixed, the first's.
        """
        pixels, index = self._reader[step]
        words = self._order[step].words
        if self._data.augment == "shift":
            pixels = random_shift(pixels, self._data.shift, words[:, 0])
        elif self._data.augment == "mirror":
            pixels = random_mirror(pixels, words[:, 0])
        pixels = erase(pixels, self._data.erasing, words[:, 1])
        labels = self._source.labels[index]
        if self._data.mixup > 0 or self._data.cutmix > 0 or self._data.label_smoothing > 0:
            labels = soft_labels(labels, self._source.classes, self._data.label_smoothing)
            pixels, labels = mix(pixels, labels, self._data, self._order.mixing(step))
        return {"pixels": pixels, "labels": labels, "index": self._source.origin[index]}
