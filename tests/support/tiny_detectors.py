"""The smallest ViDTs, and what they find in images of two sizes."""

from functools import cache

import torch
from torch import Tensor

from distill.detection.models import Detections, Detector
from distill.detection.models.config import VidtConfig
from distill.detection.models.vidt import Vidt
from distill.task import seeded

CLASSES = 10


@cache
def detector(width: int = 16, *, queries: int = 4, patch: int = 4, seed: int = 0) -> Detector:
    """Return an untrained detector of so many channels and queries, in evaluation mode."""
    config = VidtConfig(
        *(8, (1, 1, 1, 1), (1, 1, 1, 1)),
        window=2,
        patch=patch,
        queries=queries,
        width=width,
        neck_layers=1,
        neck_heads=2,
        neck_hidden=16,
        groups=4,
        dropout=0.0,
    )
    with seeded(seed):
        return Vidt(config, CLASSES).eval()


def shallow() -> Detector:
    """Return one of two stages with windows of 4 patches, shifted ones among them, and no weight at zero.

    torch turns it into an ONNX graph in a part of the time that four stages take.
    """
    config = VidtConfig(
        *(8, (2, 1), (1, 2)),
        window=4,
        queries=4,
        width=16,
        neck_layers=1,
        neck_heads=2,
        neck_hidden=16,
        groups=4,
    )
    with seeded(0), torch.no_grad():
        model = Vidt(config, CLASSES).eval()
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def images(seed: int = 0, *, count: int = 2, extra: int = 0) -> dict[str, Tensor]:
    """Return images of 64 × 48 and 32 × 64 pixels in turn, with `extra` columns and rows of padding more."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.zeros(count, 3, 64 + extra, 64 + extra)
    padding = torch.ones(count, 64 + extra, 64 + extra, dtype=torch.bool)
    for place in range(count):
        height, width = ((64, 48), (32, 64))[place % 2]
        pixels[place, :, :height, :width] = torch.randn(3, height, width, generator=generator)
        padding[place, :height, :width] = False
    return {"pixels": pixels, "padding": padding}


def found(model: Detector, batch: dict[str, Tensor]) -> Detections:
    """Return a detector's output."""
    return model(batch["pixels"], batch["padding"])
