"""100 real faces and 100 cuttings of backgrounds, 25 × 25 and grey: they come with scikit-image, nothing is downloaded.

Source: a subset of Labeled Faces in the Wild (Huang et al., 2012); scikit-image ships it as `data.lfw_subset`.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from distill import extras
from distill.config import Data
from distill.data.images import Images
from distill.errors import RecipeError

_EACH = 100
_HALF = ((0.5,), (0.5,))
# The faces are drawn in no order, so the last fifth of both classes is as good a held-out part as any.
_TRAINED = 80


def load(data: Data) -> tuple[Images, Images]:
    """Return (80 + 80 training, 20 + 20 held-out) images; class 1 are the faces.

    Raises: RecipeError for what can't be done to grey images in memory; MissingExtraError without scikit-image.
    """
    pixels = _pixels(data)
    labels = (torch.arange(2 * _EACH) < _EACH).long()
    images = Images(pixels, labels, 2, normalisation=_HALF, class_names=("background", "face"))
    is_trained = torch.arange(2 * _EACH) % _EACH < _TRAINED
    return images.subset(is_trained.nonzero().flatten()), images.subset((~is_trained).nonzero().flatten())


def load_faces(data: Data) -> Images:
    """Return the 100 faces alone, one class.

    Raises: RecipeError, MissingExtraError as `load`.
    """
    labels = torch.zeros(_EACH, dtype=torch.long)
    return Images(_pixels(data)[:_EACH], labels, 1, normalisation=_HALF, class_names=("face",))


def _pixels(data: Data) -> Float[Tensor, "n 1 size size"]:
    if data.augment not in ("none", "shift", "mirror"):
        raise RecipeError("data.augment", "none, shift or mirror for faces", data.augment)
    if data.normalisation != "half":
        raise RecipeError("data.normalisation", "half for faces, which are grey", data.normalisation)
    content = extras.load("skimage.data", needed_by="data.name: faces").lfw_subset()
    pixels = torch.from_numpy(np.asarray(content, np.float32))[:, None]  # (200, 1, 25, 25), 0 … 1
    if data.image_size not in (0, pixels.shape[-1]):
        pixels = functional.interpolate(pixels, size=(data.image_size,) * 2, mode="bicubic", antialias=True)
    return pixels.clamp(0, 1) * 2 - 1
