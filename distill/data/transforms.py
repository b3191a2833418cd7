"""What is done to one decoded image: crops, flips, colours. torchvision's transforms, drawn from a seed of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from PIL import Image, ImageFilter

from distill import extras
from distill.config import Data

# (mean, deviation) of red, green and blue.
NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_LONGEST_ASPECT = 8  # a strip of 1 × 5000 pixels would else grow to 256 × 1 280 000 before its centre is cut out
_BLUR_RADIUS = (0.1, 2.0)

Transform = Callable[[Image.Image], Image.Image]


def names() -> tuple[str, ...]:
    """Return the names of all augmentations."""
    return ("none", "shift", "mirror", *_AFTER_CROP)


@cache
def training(data: Data, size: int) -> Transform:
    """Return the augmentation that `data` names for images of `size` pixels; it draws from torch's default generator.

    none, shift and mirror are the evaluation's own crop: the latter two work on whole batches.
    """
    if data.augment not in _AFTER_CROP:
        return evaluation(data, size)
    v2 = _torchvision()
    crop = v2.RandomResizedCrop(
        size, scale=(data.crop_scale, 1.0), interpolation=v2.InterpolationMode.BICUBIC, antialias=True
    )
    return v2.Compose([crop, v2.RandomHorizontalFlip(), *_AFTER_CROP[data.augment](data)])


@cache
def evaluation(data: Data, size: int) -> Transform:
    """Return the transform that resizes an image's shorter edge and cuts out its centre."""
    v2 = _torchvision()
    resize = v2.Resize(int(size / data.cropped_share), interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
    return v2.Compose([_cut_strip, resize, v2.CenterCrop(size)])


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw from `seed` where torch's default generator is asked; torchvision's transforms take no other.

    2 µs; `distill.task.seeded`, which minds other devices, takes 140.
    """
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of random radius by Pillow: 1.8 ms at 224 pixels, torchvision's 13 × 13 kernel takes 6.7."""

    least: float
    most: float

    def __call__(self, image: Image.Image) -> Image.Image:
        radius = self.least + (self.most - self.least) * float(torch.rand(()))
        return image.filter(ImageFilter.GaussianBlur(radius))


def _torchvision():
    return extras.load("torchvision.transforms.v2", needed_by="images in files")


def _jitter(data: Data) -> list[Transform]:
    return [_torchvision().ColorJitter(*(data.color_jitter,) * 3)]


def _three_augment(data: Data) -> list[Transform]:
    """Touvron et al., "DeiT III", ECCV 2022: one of grey, solarised, blurred; then colours."""
    v2 = _torchvision()
    grey, solarised = v2.Grayscale(num_output_channels=3), v2.RandomSolarize(threshold=128, p=1.0)
    return [v2.RandomChoice([grey, solarised, Blur(*_BLUR_RADIUS)]), *_jitter(data)]


def _rand_augment(data: Data) -> list[Transform]:
    """Cubuk et al., "RandAugment", 2020: torchvision's, two operations of magnitude 9; timm's m9-mstd0.5 varies it."""
    return [_torchvision().RandAugment(num_ops=2, magnitude=9)]


_AFTER_CROP: dict[str, Callable[[Data], list[Transform]]] = {
    "crop": _jitter,
    "three_augment": _three_augment,
    "rand_augment": _rand_augment,
}


def _cut_strip(image: Image.Image) -> Image.Image:
    """Cut the middle out of an image that is more than eight times as long as wide."""
    width, height = image.size
    longest = _LONGEST_ASPECT * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return image.crop((left, top, width - left, height - top)) if left or top else image
