"""How an image is cut, resized and mirrored, and its boxes with it: known from its size alone, before it is read."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from distill.detection.config import DetectionData

# DETR's recipe in shares of the shorter edge: 480 … 800 in steps of 32, crops of 384 … 600 out of 400, 500 or 600.
_LEAST_EDGE, _EDGE_STEPS = 0.6, 11
_BEFORE_CROP = (0.5, 0.625, 0.75)
_CROP = (0.48, 0.75)
LONGEST = 1333 / 800
# A box of which less is left after a crop, in pixels of the result, isn't an object any more.
_LEAST_SIDE = 1.0


@dataclass(frozen=True)
class Plan:
    """What is done to one image: `region` (left, top, right, bottom) of it becomes `size` (width, height)."""

    region: tuple[float, float, float, float]
    size: tuple[int, int]
    is_flipped: bool = False

    def within(self, shape: tuple[int, int]) -> "Plan":
        """Return the plan with a result no larger than (height, width)."""
        scale = min(1.0, shape[1] / self.size[0], shape[0] / self.size[1])
        return replace(self, size=(max(1, int(self.size[0] * scale)), max(1, int(self.size[1] * scale))))

    def image(self, image: Image.Image) -> Image.Image:
        """Return the image of the plan, by antialiased bilinear interpolation."""
        if self.region != (0, 0, *image.size) or self.size != image.size:
            image = image.resize(self.size, Image.Resampling.BILINEAR, box=self.region)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.is_flipped else image

    def boxes(self, boxes: Float[np.ndarray, "n 4"]) -> tuple[Float[np.ndarray, "n 4"], Bool[np.ndarray, "n"]]:
        """Return boxes (left, top, width, height) of the image in the plan's, cut at its edges, and which are left."""
        left, top, right, bottom = self.region
        scale = np.array([self.size[0] / (right - left), self.size[1] / (bottom - top)])
        low = (boxes[:, :2] - [left, top]) * scale
        high = low + boxes[:, 2:] * scale
        low, high = low.clip(0, self.size), high.clip(0, self.size)
        if self.is_flipped:
            low[:, 0], high[:, 0] = self.size[0] - high[:, 0], self.size[0] - low[:, 0].copy()
        sides = high - low
        return np.concatenate([low, sides], 1), np.asarray((sides >= _LEAST_SIDE).all(1))


def evaluation(size: tuple[int, int], edge: int) -> Plan:
    """Return the plan of an image of `size` (width, height) whose shorter edge becomes `edge`."""
    return Plan((0, 0, *size), fitted(size, edge, edge))


def training(size: tuple[int, int], edge: int, data: DetectionData, word: int) -> Plan:
    """Return the plan of a training image, drawn from the random bits of its place in a batch."""
    generator = np.random.default_rng(word)
    # Everything is drawn, used or not: the next draw's place doesn't depend on what this one decided.
    flip, crop = generator.random(2)
    step, before = int(generator.integers(_EDGE_STEPS)), _BEFORE_CROP[int(generator.integers(len(_BEFORE_CROP)))]
    shares = generator.random(4)
    is_flipped = bool(flip < data.flip)
    if data.augment == "none":
        return Plan((0, 0, *size), fitted(size, edge, edge), is_flipped)
    shorter = round(edge * (_LEAST_EDGE + (1 - _LEAST_EDGE) * step / (_EDGE_STEPS - 1)))
    region = _crop(size, fitted(size, before * edge, edge), edge, shares) if crop < 0.5 else (0.0, 0.0, *size)
    cut = (region[2] - region[0], region[3] - region[1])
    return Plan(region, fitted(cut, shorter, edge), is_flipped)


def fitted(size: tuple[float, float], shorter: float, edge: int) -> tuple[int, int]:
    """Return `size` scaled so that its shorter side is `shorter`, or less where the longer would pass 5/3 · edge."""
    scale = min(shorter / min(size), LONGEST * edge / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _crop(
    size: tuple[int, int], resized: tuple[int, int], edge: int, shares: Float[np.ndarray, "4"]
) -> tuple[float, float, float, float]:
    """Return the region of the image that a crop of the resized one shows."""
    sides = []
    for axis in (0, 1):
        most = min(_CROP[1] * edge, resized[axis])
        least = min(_CROP[0] * edge, most)
        side = least + (most - least) * shares[axis]
        low = (resized[axis] - side) * shares[axis + 2]
        sides.append(np.array([low, low + side]) * size[axis] / resized[axis])
    (left, right), (top, bottom) = sides
    return float(left), float(top), float(right), float(bottom)
