"""What samples are judged in: the features and logits of a frozen network of images in −1 … 1."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import MetricError
from distill.models import Backbone, Normalisation
from distill.models.pixels import renormalise

_LEVELS = 127.5  # of 8 bits, from −1 … 1


class Extracted(NamedTuple):
    """Pooled features and the classes' logits of some images, on the CPU."""

    features: Float[Tensor, "n dim"]
    logits: Float[Tensor, "n classes"]


class Extractor(nn.Module, ABC):
    """A frozen network that images are judged by.

    label: what a distance in its features is called wherever a number is shown. dim: width of its features.
    """

    label: str
    dim: int

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Extracted:
        """Return features and logits of images in −1 … 1."""


class ClassifierExtractor(Extractor):
    """The pooled features of a classifier of ours or a library's; never plain FID.

    Images are resized to its size, and a grey image is given to it as three equal channels if it wants three.
    """

    def __init__(self, classifier: Backbone, label: str):
        super().__init__()
        self.classifier = frozen_on_half(classifier)
        self.label, self.dim = label, classifier.feature_dim

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Extracted:
        output = self.classifier(fitted(images, self.classifier.image_size, self.classifier.channels))
        return Extracted(output.feature, output.logits)


def frozen_on_half(backbone: Backbone) -> Backbone:
    """Return the model frozen, in evaluation mode, taking images in −1 … 1."""
    half = (0.5,) * backbone.channels
    renormalise(backbone, Normalisation(half, half))
    return backbone.eval().requires_grad_(False)


def fitted(
    images: Float[Tensor, "batch any height width"], size: int, channels: int
) -> Float[Tensor, "batch channels size size"]:
    """Return images at a network's size (bicubic with antialiasing) and with its channels, grey ones repeated."""
    if images.shape[1] == 1 < channels:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[-1] == size:
        return images
    resized = functional.interpolate(images, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(-1, 1)  # bicubic overshoots at edges


@torch.no_grad()
def extract(extractor: Extractor, images: Iterable[Tensor], most: int) -> Extracted:
    """Return features and logits of the first `most` images of some batches, on the CPU.

    Images are rounded to 8 bits, as published ones are, so that real and generated ones are treated alike.
    Raises: MetricError if there is none.
    """
    extractor.eval()
    features, logits, count = [], [], 0
    for batch in images:
        if count >= most:
            break
        found = extractor(rounded(batch[: most - count]))
        count += len(found.features)
        features.append(found.features.cpu())
        logits.append(found.logits.cpu())
    if not features:
        raise MetricError("images to judge", "none")
    return Extracted(torch.cat(features), torch.cat(logits))


def rounded(images: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Return images in −1 … 1 at the 256 levels of 8 bits."""
    return ((images.clamp(-1, 1) + 1) * _LEVELS).round() / _LEVELS - 1


def spread(count: int, most: int) -> Int[Tensor, "m"]:
    """Return at most `most` places of `count`, evenly spread: sets that are sorted by class stay balanced."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()
