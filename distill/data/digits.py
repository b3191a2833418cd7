"""scikit-learn's 1797 real 8 × 8 images of handwritten digits: they come with the package, nothing is downloaded."""

import numpy as np
import torch
from sklearn.datasets import load_digits as sklearn_digits
from sklearn.model_selection import train_test_split

from distill.config import Data
from distill.data.images import Images
from distill.errors import RecipeError

# The split is part of the data set: the same for every run, whatever its seed.
_SPLIT_SEED, _TEST_SIZE = 0, 797
_SIZE, _WHITE = 8, 16
_HALF = ((0.5,), (0.5,))
_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load(data: Data) -> tuple[Images, Images]:
    """Return the (training, test) images.

    Raises: RecipeError for what can't be done to images of 8 × 8 grey pixels: other sizes, crops, mirrors, colours.
    """
    if data.augment not in ("none", "shift"):
        raise RecipeError("data.augment", "none or shift for digits", data.augment)
    if data.image_size not in (0, _SIZE):
        raise RecipeError("data.image_size", f"0 or {_SIZE} for digits", data.image_size)
    return load_digits(is_half=data.normalisation == "half")


def load_digits(*, is_half: bool = False) -> tuple[Images, Images]:
    """Return (1000 training, 797 test) images of 1 × 8 × 8, normalised by the training images' mean and deviation.

    is_half: −1 … 1 instead, black to white.
    """
    pixels, labels = sklearn_digits(return_X_y=True)
    pixels = pixels.reshape(-1, _SIZE, _SIZE)
    split = train_test_split(pixels, labels, test_size=_TEST_SIZE, random_state=_SPLIT_SEED, stratify=labels)
    train, test, train_labels, test_labels = (np.asarray(part) for part in split)
    mean, deviation = (_WHITE / 2, _WHITE / 2) if is_half else (train.mean(), train.std())

    def images(pixels: np.ndarray, labels: np.ndarray) -> Images:
        normalised = torch.from_numpy((pixels - mean) / deviation).float().unsqueeze(1)
        normalisation = _HALF if is_half else None
        return Images(
            normalised, torch.from_numpy(labels).long(), classes=10, normalisation=normalisation, class_names=_NAMES
        )

    return images(train, train_labels), images(test, test_labels)
