"""Which image stands at which place of which batch, and what is drawn for it: functions of a seed and a step."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int, UInt32

from distill.errors import RecipeError

# Streams of random numbers under one seed: the shuffling, each place's own, each batch's mixing.
_SHUFFLE, _PLACE, _MIX = 0, 1, 2


@dataclass(frozen=True)
class Places:
    """The images of a batch, or of a process's slice of it.

    words: random bits of each place; the first of the two is for moving and cropping, the second for erasing.
    """

    index: Int[np.ndarray, "batch"]
    words: UInt32[np.ndarray, "batch 2"]


@dataclass(frozen=True)
class Order:
    """Shuffled batches of `size` among `count` images, without end.

    repeats: copies of each image in a batch, `size / repeats` places apart. rank, world: the slice that is taken of
    every batch; all ranks draw the whole batch, so that the slices' union is what a single process sees. groups: a
    byte an image; batches are of one group, but for those that what is left over of each fills together.
    """

    count: int
    size: int
    seed: int
    repeats: int = 1
    rank: int = 0
    world: int = 1
    groups: bytes = b""

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch; a last, smaller one is left out unless it is the only one.

        With repeats an epoch has as many batches and sees a part of the images (Hoffer et al., CVPR 2020).
        """
        return max(1, self.count // self.size)

    def shard(self, rank: int, world: int, *, together: int = 2) -> "Order":
        """Return rank's slice of every batch.

        together: how many neighbours stay in one slice; two are, as they are mixed, unless nothing is.
        Raises: RecipeError unless the slices are equal and hold them whole.
        """
        batch = len(self.whole(0))
        if batch % (together * world):
            raise RecipeError("data.batch_size", f"a multiple of {together * world} for {world} processes", batch)
        return replace(self, rank=rank, world=world)

    def __getitem__(self, step: int) -> Places:
        index = self.whole(step)
        epoch, position = divmod(step, self.per_epoch)
        words = _sequence(self.seed, _PLACE, epoch, position).generate_state(2 * len(index)).reshape(-1, 2)
        share = len(index) // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        return Places(index[mine], words[mine])

    def mixing(self, step: int) -> np.random.Generator:
        """Return the generator of what is drawn once a batch, the same in every process."""
        return np.random.default_rng(_sequence(self.seed, _MIX, step))

    def whole(self, step: int) -> Int[np.ndarray, "batch"]:
        """Return the images of a step's batch, all processes' together."""
        epoch, position = divmod(step, self.per_epoch)
        distinct = -(-self.size // self.repeats)
        shuffled = _permutation(self.count, self.seed, epoch)
        if self.groups:
            shuffled = _grouped(self.groups, distinct, self.seed, epoch)
        chosen = shuffled[position * distinct : (position + 1) * distinct]
        return np.tile(chosen, self.repeats)[: self.size]


@dataclass(frozen=True)
class InOrder:
    """Every one of `count` images once, in batches of up to `size`; nothing is drawn for them."""

    count: int
    size: int

    def __getitem__(self, step: int) -> Places:
        index = np.arange(step * self.size, min((step + 1) * self.size, self.count))
        if not len(index):
            raise IndexError(step)
        return Places(index, np.zeros((len(index), 2), np.uint32))


# A step of ImageNet would else shuffle 1.28 M numbers (20 ms); labelled and unlabelled images, and the epoch's turn.
@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Int[np.ndarray, "count"]:
    # torch's generator keeps the low 32 bits of its seed and drops the rest: the three are hashed into 32.
    word = int(_sequence(seed, _SHUFFLE, epoch).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(word)).numpy()


@lru_cache(maxsize=4)
def _grouped(groups: bytes, size: int, seed: int, epoch: int) -> Int[np.ndarray, "count"]:
    """Return an epoch's permutation in another order: batches of one group, at the places of their first images."""
    permutation = _permutation(len(groups), seed, epoch)
    group = np.frombuffer(groups, np.uint8)[permutation]
    places = [np.flatnonzero(group == each) for each in np.unique(group)]
    batches = [each[: len(each) // size * size].reshape(-1, size) for each in places]
    left_over = np.sort(np.concatenate([each[len(each) // size * size :] for each in places]))
    whole = np.concatenate(batches)
    return permutation[np.concatenate([whole[np.argsort(whole[:, 0])].flatten(), left_over])]


def _sequence(*key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(key)
