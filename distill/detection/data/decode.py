"""From annotated files to a batch of padded images and their boxes: what a worker process runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from distill.data.decode import decode
from distill.data.order import InOrder, Order
from distill.detection.config import DetectionData
from distill.detection.data import geometry
from distill.detection.data.annotations import Annotations
from distill.detection.data.geometry import Plan

# Broken images in a row after which a disk, not an image, is broken.
_MOST_BROKEN = 100


class Request(NamedTuple):
    """The images of a batch, or of a slice of it, and their plans. shape: (height, width) of the whole padded batch."""

    images: Int[np.ndarray, "batch"]
    plans: Sequence[Plan]
    words: Sequence[int]
    shape: tuple[int, int]


class Decoded(NamedTuple):
    """pixels: bytes, 0 beyond an image. sizes: (width, height) of each image in there, top left. boxes: as shares of
    its image, (centre x, centre y, width, height). labels: −1 where an image has fewer objects than the most.
    chosen: which images they are. broken: why others were left out, by their names.
    """

    pixels: UInt8[Tensor, "batch 3 height width"]
    sizes: Int[Tensor, "batch 2"]
    boxes: Float[Tensor, "batch most 4"]
    labels: Int[Tensor, "batch most"]
    chosen: Int[Tensor, "batch"]
    broken: dict[str, str]


@dataclass(frozen=True)
class Requests:
    """What each step asks for: known from the annotations alone, the same padded shape in every process.

    data: None for evaluation, whose images are neither cut nor mirrored.
    """

    annotations: Annotations
    order: Order | InOrder
    edge: int
    data: DetectionData | None

    def __getitem__(self, step: int) -> Request:
        whole = replace(self.order, rank=0, world=1) if isinstance(self.order, Order) else self.order
        places = whole[step]
        words = places.words[:, 0].tolist()
        plans = [self.plan(image, word) for image, word in zip(places.index.tolist(), words, strict=True)]
        shape = (max(plan.size[1] for plan in plans), max(plan.size[0] for plan in plans))
        mine = slice(None)
        if isinstance(self.order, Order):
            share = len(plans) // self.order.world
            mine = slice(self.order.rank * share, (self.order.rank + 1) * share)
        return Request(places.index[mine], plans[mine], words[mine], shape)

    def plan(self, image: int, word: int) -> Plan:
        """Return what is done to an image with the random bits of its place."""
        width, height = self.annotations.sizes[image].tolist()
        if self.data is None:
            return geometry.evaluation((width, height), self.edge)
        return geometry.training((width, height), self.edge, self.data, word)


@dataclass(frozen=True)
class Decoder(Dataset[Decoded]):
    """Makes the batch of a request. In training a broken image is replaced by the next one, in evaluation left out."""

    requests: Requests

    def __getitem__(self, request: Request) -> Decoded:
        height, width = request.shape
        pixels = np.zeros((len(request.images), 3, height, width), np.uint8)
        chosen: list[int] = []
        plans: list[Plan] = []
        broken: dict[str, str] = {}
        for first, plan, word in zip(request.images.tolist(), request.plans, request.words, strict=True):
            found = self._first_whole(first, plan, word, request.shape, broken)
            if found is not None:
                image, plan, picture = found
                part = np.asarray(picture).transpose(2, 0, 1)
                pixels[len(chosen), :, : part.shape[1], : part.shape[2]] = part
                chosen.append(image)
                plans.append(plan)
        sizes = torch.tensor([plan.size for plan in plans], dtype=torch.int64).reshape(-1, 2)
        boxes, labels = self._objects(chosen, plans)
        index = torch.tensor(chosen, dtype=torch.int64)
        return Decoded(torch.from_numpy(pixels[: len(chosen)]), sizes, boxes, labels, index, broken)

    def _first_whole(
        self, first: int, plan: Plan, word: int, shape: tuple[int, int], broken: dict[str, str]
    ) -> tuple[int, Plan, Image.Image] | None:
        """Return the first image from `first` on that isn't broken, its plan and its pixels; note the broken ones."""
        annotations = self.requests.annotations
        for further in range(1 if self.requests.data is None else _MOST_BROKEN):
            image = (first + further) % len(annotations)
            if further:
                plan = self.requests.plan(image, word).within(shape)
            try:  # Pillow's plugins raise nearly anything for a broken file
                picture = decode((annotations.folder / Path(annotations.names[image])).read_bytes())
                if picture.size != (annotated := tuple(annotations.sizes[image].tolist())):
                    raise ValueError(f"annotated as {annotated[0]} × {annotated[1]}, is {picture.size}")
                return image, plan, plan.image(picture)
            except Exception as error:
                broken[annotations.names[image]] = f"{type(error).__name__}: {error}"
        return None

    def _objects(
        self, chosen: Sequence[int], plans: Sequence[Plan]
    ) -> tuple[Float[Tensor, "batch most 4"], Int[Tensor, "batch most"]]:
        annotations = self.requests.annotations
        found = []
        for image, plan in zip(chosen, plans, strict=True):
            own = annotations.objects(image)
            boxes, is_left = plan.boxes(annotations.boxes[own])
            is_left &= ~annotations.crowds[own]
            found.append((boxes[is_left] / (plan.size * 2), annotations.labels[own][is_left]))
        most = max([len(labels) for _, labels in found], default=0)
        boxes, labels = torch.zeros(len(found), most, 4), torch.full((len(found), most), -1)
        for place, (own, numbers) in enumerate(found):
            own[:, :2] += own[:, 2:] / 2
            boxes[place, : len(own)] = torch.from_numpy(own)
            labels[place, : len(own)] = torch.from_numpy(numbers)
        return boxes, labels
