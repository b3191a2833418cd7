"""CPU time an image takes from its file to a normalised tensor, ours beside torchvision's own.

python -m benchmarks.images
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from distill import data, extras
from distill.config import Data
from distill.data.transforms import NORMALISATIONS
from distill.errors import DistillError
from stiefel import console
from stiefel.errors import StiefelError

BATCH, SIZE, EDGES = 32, 224, (500, 375)
AUGMENTS = ("crop", "three_augment", "rand_augment")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians of alternating batches, both in this process and on one thread."""
    return console.run("benchmarks.images", lambda: _main(argv), (StiefelError, DistillError, OSError))


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="benchmarks.images", description=__doc__)
    parser.add_argument("--batches", type=int, default=16, help=f"of {BATCH} images, each way (default 16)")
    batches = parser.parse_args(argv).batches
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root, 4 * BATCH)
        for augment in AUGMENTS:
            figures = ", ".join(f"{name} {ms:.2f}" for name, ms in measure(root, augment, batches).items())
            print(f"{augment}: {figures} ms an image")
    return 0


def measure(root: Path, augment: str, batches: int) -> dict[str, float]:
    """Return the median CPU milliseconds an image takes each way, batch after batch in turn."""
    ways = {"ours": ours(root, augment), "torchvision": torchvisions(root, augment)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(batches):
        for name, stream in ways.items():
            taken[name].append(cpu_ms(lambda stream=stream: next(stream)) / BATCH)
    return {name: statistics.median(each) for name, each in taken.items()}


def write_images(root: Path, images: int) -> None:
    """Write JPEGs of ImageNet's usual size, smooth with some noise (94 kB each), of two classes."""
    generator = np.random.default_rng(0)
    for part, number in (("train", images), ("val", 2)):
        for image in range(number):
            coarse = generator.integers(0, 256, (EDGES[1] // 6, EDGES[0] // 6, 3), dtype=np.uint8)
            smooth = np.asarray(Image.fromarray(coarse).resize(EDGES, Image.Resampling.BICUBIC))
            noisy = (smooth + generator.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
            path = root / part / str(image % 2) / f"{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy).save(path, quality=92)


def cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU time of this process that some work takes: other processes' load isn't in it."""
    before = time.process_time()
    work()
    return 1e3 * (time.process_time() - before)


def ours(root: Path, augment: str) -> Iterator[Tensor]:
    """Yield our batches."""
    config = Data(name="folder", path=str(root), workers=0, augment=augment)
    batches = data.load(config)[0].batches(BATCH, 0, config)
    return (batches[step]["pixels"] for step in count())


def torchvisions(root: Path, augment: str) -> Iterator[Tensor]:
    """Yield the batches of torchvision's folder and transforms and torch's loader."""
    v2 = extras.load("torchvision.transforms.v2", needed_by="this benchmark")
    folder = extras.load("torchvision.datasets", needed_by="this benchmark").ImageFolder
    jitter = v2.ColorJitter(0.3, 0.3, 0.3)
    one_of = [v2.Grayscale(3), v2.RandomSolarize(128, p=1.0), v2.GaussianBlur(13, (0.1, 2.0))]
    after = {
        "crop": [jitter],
        "three_augment": [v2.RandomChoice(one_of), jitter],
        "rand_augment": [v2.RandAugment()],
    }[augment]
    crop = v2.RandomResizedCrop(SIZE, interpolation=v2.InterpolationMode.BICUBIC)
    normalise = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*NORMALISATIONS["imagenet"])]
    transform = v2.Compose([crop, v2.RandomHorizontalFlip(), *after, *normalise])
    loader = DataLoader(folder(root / "train", transform), BATCH, shuffle=True)
    return (pixels for _ in count() for pixels, _ in loader)


if __name__ == "__main__":
    sys.exit(main())
