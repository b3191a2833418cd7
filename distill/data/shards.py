"""webdataset's shards: train-000000.tar, …, val-000000.tar, …, in each a file.jpg beside a file.cls with its number.

The webdataset package reads shards as streams, shuffled by a buffer: what it gives next depends on all it gave
before, and a resumed run would have to read up to where it stopped. Here the tars' headers are read once, and every
image is then read by its offset, so that batch k stays a function of (seed, k). The package writes the shards.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distill.config import Data
from distill.data.files import Files
from distill.data.folder import HELD_OUT, SUFFIXES, root_of
from distill.data.store import Store
from distill.errors import DataError


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a shard: where its bytes lie, and its label."""

    name: str
    shard: int
    offset: int
    size: int
    label: int


def load(data: Data) -> tuple[Files, Files]:
    """Return the (training, held-out) images of a folder of shards; classes are numbered by their .cls files.

    Raises: RecipeError without a folder; DataError where a shard is missing or cut off, a sample has no whole label,
    a class has no training image, or a held-out label is none of the training images'.
    """
    root = root_of(data.path)
    train = _read(root, ("train",))
    held_out = _read(root, HELD_OUT)
    labels = {sample.label for sample in train[1]}
    classes = max(labels) + 1
    missing = next((label for label in range(classes) if label not in labels), None)
    if missing is not None:
        got = f"labels up to {classes - 1}, and none of class {missing}"
        raise DataError(root, "training labels 0, 1, … without a gap", got, cure="number the classes anew")
    for sample in held_out[1]:
        if sample.label not in labels:
            got = f"{sample.label} in {sample.name}"
            raise DataError(root, f"held-out labels from 0 to {classes - 1}", got, cure="mend its .cls")
    names = [str(label) for label in range(classes)]
    return _files(*train, names, data), _files(*held_out, names, data)


class ShardStore(Store):
    """Members of tar files by their offsets."""

    def __init__(self, shards: list[Path], samples: list[Sample]):
        self._shards = [os.fspath(path) for path in shards]
        self._names = np.array([sample.name.encode() for sample in samples])
        self._where = np.array([(sample.shard, sample.offset, sample.size) for sample in samples], dtype=np.int64)

    def read(self, number: int) -> bytes:
        shard, offset, size = self._where[number].tolist()
        with open(self._shards[shard], "rb") as file:
            file.seek(offset)
            return file.read(size)

    def name(self, number: int) -> str:
        return f"{os.path.basename(self._shards[int(self._where[number, 0])])}:{bytes(self._names[number]).decode()}"

    def size(self, number: int) -> int:
        return int(self._where[number, 2])


def _files(shards: list[Path], samples: list[Sample], names: list[str], data: Data) -> Files:
    labels = torch.tensor([sample.label for sample in samples])
    return Files(ShardStore(shards, samples), labels, names, data)


def _read(root: Path, parts: tuple[str, ...]) -> tuple[list[Path], list[Sample]]:
    shards = _shards(root, parts)
    samples = [sample for number, path in enumerate(shards) for sample in _samples(number, path)]
    if not samples:
        raise DataError(root, f"images in {shards[0].name} …", "none", cure="write an image and its .cls a sample")
    return shards, samples


def _shards(root: Path, parts: tuple[str, ...]) -> list[Path]:
    """Return the shards of one part, in the order of their numbers, none of them missing."""
    pattern = re.compile(rf"(.*[-_])?({'|'.join(parts)})[-_](\d+)\.tar")
    found = sorted((int(match[3]), path) for path in root.iterdir() if (match := pattern.fullmatch(path.name)))
    if not found:
        cure = f"name them like {parts[0]}-000000.tar"
        raise DataError(root, f"shards named {' or '.join(parts)}-NNNNNN.tar", "none", cure=cure)
    numbers = [number for number, _ in found]
    if numbers != list(range(len(numbers))):
        odd = next(number for place, number in enumerate(numbers) if number != place)
        expected = f"{parts[0]} shards 0, 1, … without a gap and each once"
        raise DataError(root, expected, f"number {odd} out of turn", cure="copy the missing ones, remove the others")
    return [path for _, path in found]


def _samples(number: int, path: Path) -> Iterator[Sample]:
    """Yield the images of a shard with their labels; files of one sample stand one after the other."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                key = f"{folder}/{stem}"
                if f".{suffix.lower()}" in SUFFIXES:
                    images[key] = member
                elif suffix == "cls":
                    content = shard.extractfile(member)
                    labels[key] = _label(path, member.name, content.read() if content else b"")
    except tarfile.TarError as error:
        raise DataError(path, "a whole tar file", str(error), cure="copy or write this shard again") from error
    for key, member in images.items():
        if key not in labels:
            raise DataError(path, f"a .cls beside {member.name}", "none", cure="write this shard again")
        yield Sample(member.name, number, member.offset_data, member.size, labels[key])


def _label(path: Path, name: str, content: bytes) -> int:
    text = content.decode("ascii", errors="replace").strip()
    if not text.isdecimal():
        raise DataError(path, f"a whole number from 0 in {name}", repr(text), cure="write this shard again")
    return int(text)
