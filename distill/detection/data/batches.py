"""Batches of padded images with their boxes: functions of a seed and a step alone, or every image once, in order."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from distill.data.ahead import Ahead
from distill.data.order import InOrder, Order
from distill.data.reader import broken_data, note, of_bytes
from distill.detection.config import DetectionData
from distill.detection.data.annotations import Annotations
from distill.detection.data.decode import Decoded, Decoder, Requests


class Batches:
    """An endless stream of shuffled, augmented batches: batch k is a function of (seed, k) alone.

    Images that are wider than high stand together, and others: there is less padding in a batch.
    """

    def __init__(
        self,
        annotations: Annotations,
        data: DetectionData,
        edge: int,
        device: torch.device,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        wide = (annotations.sizes[:, 0] > annotations.sizes[:, 1]).astype(np.uint8)
        groups = wide.tobytes() if 0 < wide.sum() < len(wide) else b""
        order = Order(len(annotations), data.batch_size, seed, groups=groups)
        self._order = order if world == 1 else order.shard(rank, world, together=1)
        self._annotations = annotations
        self._reader = _Reader(annotations, self._order, data, edge, device)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return self._order.per_epoch

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why each broken image that was met was replaced by another, by its name."""
        return self._reader.skipped

    def indices(self, step: int) -> list[int]:
        """Return COCO's numbers of a step's images, all processes' together; nothing is read."""
        return self._annotations.numbers[self._order.whole(step)].tolist()

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return {"pixels": (batch, 3, height, width), "padding": (batch, height, width), True outside an image,
        "boxes": (batch, most, 4), as shares of each image, "labels": (batch, most), −1 where there is no object,
        "index": (batch,), COCO's numbers}.
        """
        return self._reader[step]


def evaluation(
    annotations: Annotations, data: DetectionData, edge: int, device: torch.device, *, size: int
) -> Iterator[dict[str, Tensor]]:
    """Yield every image that can be decoded once, without augmentation, as batches of up to `size`.

    Images of like shape come together, so that there is little padding.
    """
    shape = annotations.sizes[:, 0] / annotations.sizes[:, 1]
    ordered = annotations.subset(np.argsort(shape, kind="stable"))
    reader = _Reader(ordered, InOrder(len(ordered), size), data, edge, device, is_training=False)
    for step in range(-(-len(ordered) // size)):
        batch = reader[step]
        if len(batch["index"]):
            yield batch


class _Reader:
    """Reads the images of a step's batch, decoded ahead."""

    def __init__(
        self,
        annotations: Annotations,
        order: Order | InOrder,
        data: DetectionData,
        edge: int,
        device: torch.device,
        *,
        is_training: bool = True,
    ):
        requests = Requests(annotations, order, edge, data if is_training else None)
        self._ahead: Ahead[Decoded] = Ahead(
            Decoder(requests), requests.__getitem__, workers=data.workers, device=device
        )
        self._annotations, self._order, self._data, self._device = annotations, order, data, device
        self._mean, self._deviation = of_bytes(data.normalisation, device)
        self._is_training = is_training
        self.skipped: dict[str, str] = {}

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        decoded = self._ahead[step]
        note(decoded.broken, self.skipped)
        if self._is_training and len(decoded.chosen) < len(self._order[step].index):
            raise broken_data(self._data.path, self.skipped)
        numbers = torch.from_numpy(self._annotations.numbers[decoded.chosen.numpy()])
        moved = [each.to(self._device, non_blocking=True) for each in (*decoded[:4], numbers)]
        pixels, sizes, boxes, labels, index = moved
        height, width = (torch.arange(side, device=self._device) for side in pixels.shape[-2:])
        padding = (width >= sizes[:, :1])[:, None] | (height >= sizes[:, 1:])[:, :, None]
        # Padding is 0 after the normalisation, as DETR's.
        normalised = pixels.float().sub_(self._mean).div_(self._deviation).masked_fill_(padding[:, None], 0)
        return {"pixels": normalised, "padding": padding, "boxes": boxes, "labels": labels, "index": index}
