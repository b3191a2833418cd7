"""Generated images as PNG files: grids of samples and ways between two of them."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

# Small images are shown enlarged, pixel by pixel, to about this edge.
_SHOWN = 64
_WHITE = 1.0


def save_grid(images: Float[Tensor, "n channels size size"], columns: int, path: Path) -> None:
    """Write images in −1 … 1 as rows of a PNG, left to right, with a line of white between them."""
    count, channels, edge, _ = images.shape
    rows = -(-count // columns)
    grid = torch.full((channels, rows * (edge + 1) - 1, columns * (edge + 1) - 1), _WHITE)
    for place, image in enumerate(images.detach().cpu().float().clamp(-1, 1)):
        top, left = (edge + 1) * (place // columns), (edge + 1) * (place % columns)
        grid[:, top : top + edge, left : left + edge] = image
    levels = ((grid + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(levels[:, :, 0] if channels == 1 else levels)
    scale = max(1, _SHOWN // edge)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def between(
    first: Float[Tensor, "rows latent"], last: Float[Tensor, "rows latent"], count: int
) -> Float[Tensor, "rows count latent"]:
    """Return `count` latents on the great circle from each first one to its last, both included.

    A straight line would pass through latents shorter than any that is drawn.
    """
    angle = torch.arccos(torch.nn.functional.cosine_similarity(first, last).clamp(-1, 1))[:, None, None]
    share = torch.linspace(0, 1, count).to(first)[:, None]
    start, end = ((each * angle).sin() / angle.sin() for each in (1 - share, share))
    return start * first[:, None] + end * last[:, None]
