"""Labelled images in memory, and batches of them that depend on nothing but a seed and a step."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from distill.errors import RecipeError


@dataclass(frozen=True)
class Images:
    """pixels: (N, channels, height, width), normalised; labels: (N,), 0 … classes − 1."""

    pixels: Float[Tensor, "n channels height width"]
    labels: Int[Tensor, "n"]
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> "Images":
        """Return the images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device), self.classes)

    def few(self, per_class: int, *, seed: int) -> "Images":
        """Return `per_class` images of each class, drawn by `seed`.

        Raises: RecipeError if a class has fewer.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = []
        for label in range(self.classes):
            found = torch.nonzero(self.labels.cpu() == label).flatten()
            if len(found) < per_class:
                raise RecipeError("data.labels_per_class", f"at most {len(found)}, what class {label} has", per_class)
            chosen.append(found[torch.randperm(len(found), generator=generator)[:per_class]])
        index = torch.cat(chosen).to(self.labels.device)
        return Images(self.pixels[index], self.labels[index], self.classes)


@dataclass(frozen=True)
class Batches:
    """An endless stream of shuffled, randomly shifted batches: batch k is a function of (seed, k) alone.

    So a resumed run sees what an uninterrupted one sees, without any generator's state in the checkpoint.
    """

    images: Images
    size: int
    shift: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Batches in one pass over the images; a last, smaller one is left out unless it is the only one."""
        return max(1, len(self.images) // self.size)

    def indices(self, step: int) -> Int[Tensor, "batch"]:
        """Return which images batch `step` holds, on the CPU."""
        epoch, position = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.images), generator=_generator(self.seed, 0, epoch))
        return order[position * self.size : (position + 1) * self.size]

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return {"pixels": (batch, channels, height, width), "labels": (batch,)}."""
        index = self.indices(step).to(self.images.labels.device)
        pixels = random_shift(self.images.pixels[index], self.shift, _generator(self.seed, 1, step))
        return {"pixels": pixels, "labels": self.images.labels[index]}


def random_shift(
    pixels: Float[Tensor, "n channels height width"], most: int, generator: torch.Generator
) -> Float[Tensor, "n channels height width"]:
    """Return each image moved by −most … most whole pixels both ways; the edge's pixels are repeated."""
    if most == 0:
        return pixels
    count, _, height, width = pixels.shape
    padded = functional.pad(pixels, (most,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (n, channels, 2·most + 1, 2·most + 1, height, width)
    down, right = torch.randint(2 * most + 1, (2, count), generator=generator).to(pixels.device)
    return windows[torch.arange(count, device=pixels.device), :, down, right]


def _generator(seed: int, stream: int, position: int) -> torch.Generator:
    # torch's CPU generator keeps the low 32 bits of its seed and drops the rest, so the three are hashed into 32.
    mixed = np.random.SeedSequence((seed, stream, position)).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
