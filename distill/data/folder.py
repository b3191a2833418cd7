"""Any folder of images, a sub-folder a class: root/{train,val}/class/*.jpg, or root/class/* with a split of ours."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from distill.config import Data
from distill.data.files import Files
from distill.data.store import Store
from distill.errors import DataError, RecipeError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
HELD_OUT = ("val", "valid", "validation", "test")
_TEST_SHARE = 0.2


def load(data: Data) -> tuple[Files, Files]:
    """Return the (training, held-out) images of a folder.

    Where there is no train folder, a fifth of each class is held out: which images, their names' hashes decide, so
    that it is the same ones in every run, and that a new image moves at most one other.

    Raises: RecipeError without a folder; DataError where a class is empty or the two parts' classes differ.
    """
    root = root_of(data.path)
    if not (root / "train").is_dir():
        return _split(root, scan(root), data)
    train, held_out = scan(root / "train"), scan(held_out_of(root))
    same_classes(root, train, held_out)
    return listed(root / "train", train, data), listed(held_out_of(root), held_out, data)


def root_of(path: str) -> Path:
    """Return the folder of a data set in files.

    Raises: RecipeError if there is none.
    """
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        raise RecipeError("data.path", "a folder of images", path)
    return root


def held_out_of(root: Path) -> Path:
    """Return the first of val, valid, validation and test that stands beside train.

    Raises: DataError if none does.
    """
    for name in HELD_OUT:
        if (root / name).is_dir():
            return root / name
    raise DataError(root, f"one of {', '.join(HELD_OUT)} beside train", "none", cure="hold some images out there")


def scan(root: Path) -> dict[str, list[bytes]]:
    """Return the images below each class's folder, as paths from `root`, sorted; other files are passed over.

    Raises: DataError if there is no class, or one without images.
    """
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(root, "a folder of images for each class", "no folder", cure="make root/class/image.jpg of it")
    found = {name: sorted(_images(root, root / name)) for name in classes}
    empty = [name for name in classes if not found[name]]
    if empty:
        raise DataError(
            root,
            f"images ({', '.join(SUFFIXES)}) in every class",
            f"none in {_some(empty)}",
            cure="fill these folders or remove them",
        )
    return found


def is_image(name: str) -> bool:
    """Whether a file's name is an image's; a dot file, such as a Mac's shadow of one, isn't."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def same_classes(root: Path, train: dict[str, list[bytes]], held_out: dict[str, list[bytes]]) -> None:
    """Check that training and held-out images have the same classes.

    Raises: DataError naming those that only one has.
    """
    for one, other, name in ((train, held_out, "train"), (held_out, train, "the held-out part")):
        alone = [label for label in one if label not in other]
        if alone:
            got = f"{_some(alone)} in {name} alone"
            raise DataError(root, "the same classes in both parts", got, cure="rename, add or remove these folders")


def listed(root: Path, found: dict[str, list[bytes]], data: Data) -> Files:
    """Return the images of a scan, classes numbered in the order of their names."""
    labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])
    paths = np.array([path for paths in found.values() for path in paths])
    return Files(FolderStore(root, paths), torch.from_numpy(labels), list(found), data)


class FolderStore(Store):
    """Files below a folder. paths: relative to it, as an array of bytes: 45 MB for ImageNet, where text takes 150."""

    def __init__(self, root: Path, paths: np.ndarray):
        self._root, self._paths = os.fsencode(root), paths

    def read(self, number: int) -> bytes:
        with open(self._path(number), "rb") as file:
            return file.read()

    def name(self, number: int) -> str:
        return os.fsdecode(bytes(self._paths[number]))

    def size(self, number: int) -> int:
        return os.stat(self._path(number)).st_size

    def _path(self, number: int) -> bytes:
        return os.path.join(self._root, bytes(self._paths[number]))


def _images(root: Path, folder: Path) -> Iterator[bytes]:
    for parent, _, names in os.walk(folder, followlinks=True):
        below = os.path.relpath(parent, root)
        for name in names:
            if is_image(name):
                yield os.fsencode(os.path.join(below, name))


def _split(root: Path, found: dict[str, list[bytes]], data: Data) -> tuple[Files, Files]:
    single = [name for name, paths in found.items() if len(paths) < 2]
    if single:
        cure = "add one to each, or hold images out yourself in train and val"
        raise DataError(root, "two images or more in every class", f"one in {_some(single)}", cure=cure)
    train, held_out = {}, {}
    for name, paths in found.items():
        ordered = sorted(paths, key=lambda path: hashlib.sha256(path).digest())
        count = max(1, round(_TEST_SHARE * len(paths)))
        held_out[name], train[name] = sorted(ordered[:count]), sorted(ordered[count:])
    return listed(root, train, data), listed(root, held_out, data)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
