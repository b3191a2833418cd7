"""Small detectors of every kind that `distill.detection.models.build` knows, untrained, and images for them."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Tensor

from distill import extras
from distill.detection.models import DETECTORS, Detector, build

CLASSES = 5
# Everything but the widest: a forward pass of each takes a tenth of a second or so at 64 px.
OURS = [name for name in DETECTORS if not name.startswith("hf:") and name not in ("vidt_small", "vidt_base")]
HF = "hf:small"
CASES = [*OURS, HF]


def small(name: str, *, classes: int = CLASSES) -> Detector:
    """Return a case's detector, from seed 0, every weight moved off its first value, in evaluation mode.

    Offsets and box heads start at zero weights, through which no gradient passes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = build(_hf_folder() if name == HF else name, classes)
        with torch.no_grad():
            for parameter in detector.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return detector.eval()


def batch(*ends: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return seeded images of these heights and widths, at the top left of a batch of this size, and the padding."""
    generator = torch.Generator().manual_seed(1)
    images, padding = torch.zeros(len(ends), 3, *size), torch.ones(len(ends), *size, dtype=torch.bool)
    for index, (height, width) in enumerate(ends):
        images[index, :, :height, :width] = torch.randn(3, height, width, generator=generator)
        padding[index, :height, :width] = False
    return images, padding


@cache
def _hf_folder() -> str:
    transformers = extras.load("transformers", needed_by="tests")
    stages = {"depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"]}
    body = transformers.SwinConfig(embed_dim=8, window_size=4, **stages)
    sizes = {"d_model": 32, "num_queries": 6, "encoder_layers": 1, "decoder_layers": 2}
    parts = {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("attention_heads", "n_points")}
    hidden = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    config = transformers.DeformableDetrConfig(backbone_config=body, with_box_refine=True, **sizes, **parts, **hidden)
    folder = Path(mkdtemp(prefix="small-detector-"))
    config.save_pretrained(folder)
    return f"hf:{folder}"
