"""Labelled images in memory."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.config import Data
from distill.data.order import Order
from distill.data.source import Reader, Source


class Images(Source):
    """pixels: (N, channels, height, width), normalised; labels: (N,), 0 … classes − 1."""

    def __init__(
        self,
        pixels: Float[Tensor, "n channels height width"],
        labels: Int[Tensor, "n"],
        classes: int,
        *,
        origin: Int[Tensor, "n"] | None = None,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        class_names: Sequence[str] = (),
    ):
        self.pixels, self.labels, self.classes = pixels, labels, classes
        self.origin = torch.arange(len(labels), device=labels.device) if origin is None else origin
        self.channels, self.image_size = pixels.shape[1], pixels.shape[-1]
        self.normalisation, self.class_names = normalisation, class_names

    def evaluation(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Yield every image once, in order, as batches of up to `size`."""
        parts = zip(self.pixels.split(size), self.labels.split(size), self.origin.split(size), strict=True)
        for pixels, labels, index in parts:
            yield {"pixels": pixels, "labels": labels, "index": index}

    def subset(self, index: Int[Tensor, "m"]) -> "Images":
        """Return some of the images, by their place here."""
        index = index.to(self.labels.device)
        return self._with(self.pixels[index], self.labels[index], self.origin[index])

    def to(self, device: str) -> "Images":
        """Return the images on a device."""
        return self._with(self.pixels.to(device), self.labels.to(device), self.origin.to(device))

    def reader(self, order: Order, data: Data) -> "InMemory":
        """Return what picks the images of batch after batch."""
        return InMemory(self, order)

    def fingerprint(self) -> str:
        """Return a hash of the pixels and labels."""
        content = hashlib.sha256(self.pixels.cpu().contiguous().numpy().tobytes())
        content.update(self.labels.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()

    def _with(self, pixels: Tensor, labels: Tensor, origin: Tensor) -> "Images":
        return Images(
            pixels,
            labels,
            self.classes,
            origin=origin,
            normalisation=self.normalisation,
            class_names=self.class_names,
        )


class InMemory(Reader):
    """Images picked from memory; none of them can be broken."""

    def __init__(self, images: Images, order: Order):
        self._images, self._order = images, order

    @property
    def skipped(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def __getitem__(self, step: int) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, "batch"]]:
        index = torch.from_numpy(self._order[step].index).to(self._images.labels.device)
        return self._images.pixels[index], index
