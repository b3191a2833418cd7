"""CIFAR-10 and CIFAR-100 as they are published for Python: pickled batches, read without running what they may hold."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.config import Data
from distill.data.images import Images
from distill.data.transforms import NORMALISATIONS
from distill.errors import DataError, RecipeError

_SIZE = 32
# Their files: a published folder's name, training batches, the test batch, the names' file, its key, the labels' key.
_TEN = ("cifar-10-batches-py", [f"data_batch_{k}" for k in range(1, 6)], "test_batch", "batches.meta")
_HUNDRED = ("cifar-100-python", ["train"], "test", "meta")
# All that the published batches, and those that a current numpy writes, are made of.
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # pyright: ignore
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # pyright: ignore
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def load_10(data: Data) -> tuple[Images, Images]:
    """Return CIFAR-10's (50 000 training, 10 000 test) images, each file's count being what it holds.

    Raises: RecipeError for a missing folder, or what can't be done to images in memory; DataError.
    """
    return _load(data, _TEN, b"label_names", b"labels")


def load_100(data: Data) -> tuple[Images, Images]:
    """Return CIFAR-100's (training, test) images with their fine labels.

    Raises: RecipeError, DataError as `load_10`.
    """
    return _load(data, _HUNDRED, b"fine_label_names", b"fine_labels")


def read_batch(path: Path) -> dict[bytes, Any]:
    """Return a pickled dictionary of bytes, numbers, lists and numpy arrays.

    Anything else in the file, such as a call of a function, is refused before it runs.
    Raises: DataError.
    """
    try:
        with path.open("rb") as file:
            content = _Restricted(file, encoding="bytes").load()
    except (OSError, EOFError, pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(path, "a batch of CIFAR", f"{type(error).__name__}: {error}", cure="unpack it again") from error
    if not isinstance(content, dict):
        raise DataError(path, "a dictionary", type(content).__name__, cure="unpack the published archive again")
    return content


class _Restricted(pickle.Unpickler):
    """An unpickler that makes arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _ADMITTED[module, name]


def _load(
    data: Data, files: tuple[str, list[str], str, str], names_key: bytes, labels_key: bytes
) -> tuple[Images, Images]:
    folder, train, test, meta = files
    if data.augment not in ("none", "shift", "mirror"):
        raise RecipeError("data.augment", "none, shift or mirror for CIFAR", data.augment)
    if data.image_size not in (0, _SIZE):
        raise RecipeError("data.image_size", f"0 or {_SIZE} for CIFAR", data.image_size)
    root = Path(data.path).expanduser()
    root = root / folder if (root / folder).is_dir() else root
    if not data.path or not (root / meta).is_file():
        raise RecipeError(
            "data.path", f"the folder {folder} of the published archive, or the one it lies in", data.path
        )
    names = [bytes(name).decode() for name in _entry(root / meta, names_key)]
    return (
        _images([root / name for name in train], names, labels_key, data),
        _images([root / test], names, labels_key, data),
    )


def _images(paths: list[Path], names: list[str], labels_key: bytes, data: Data) -> Images:
    pixels, labels = [], []
    for path in paths:
        rows, numbers = np.asarray(_entry(path, b"data")), np.asarray(_entry(path, labels_key))
        is_whole = rows.dtype == np.uint8 and rows.shape == (len(numbers), 3 * _SIZE**2)
        if not (is_whole and numbers.dtype.kind == "i" and 0 <= numbers.min() <= numbers.max() < len(names)):
            expected = f"rows of {3 * _SIZE**2} bytes with labels below {len(names)}"
            raise DataError(path, expected, f"{rows.dtype} of shape {rows.shape}", cure="unpack it again")
        pixels.append(rows.reshape(-1, 3, _SIZE, _SIZE))
        labels.append(numbers.astype(np.int64))
    mean, deviation = (torch.tensor(each)[:, None, None] for each in NORMALISATIONS[data.normalisation])
    content = torch.from_numpy(np.concatenate(pixels)).float().div_(255).sub_(mean).div_(deviation)
    return Images(
        content,
        torch.from_numpy(np.concatenate(labels)),
        len(names),
        normalisation=NORMALISATIONS[data.normalisation],
        class_names=names,
    )


def _entry(path: Path, key: bytes) -> Any:
    content = read_batch(path)
    if key not in content:
        raise DataError(path, f"an entry {key.decode()}", f"{sorted(map(str, content))}", cure="unpack it again")
    return content[key]
