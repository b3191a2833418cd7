"""What a detection run finds in any images, as pictures with boxes."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from distill import recipe
from distill.checkpoint import load_weights
from distill.data.decode import decode
from distill.data.reader import of_bytes
from distill.detection import data
from distill.detection.config import DetectionConfig
from distill.detection.data import geometry
from distill.detection.evaluation import best
from distill.errors import DataError, RecipeError
from distill.report.plots import COLOURS
from distill.run_folder import read_summary, write_atomically
from distill.tasks.detection import Detection

_SMALLEST = 320  # pixels of a picture's shorter edge: boxes in 64 pixels couldn't be told apart


class Drawn(NamedTuple):
    """path: of the picture. found: (category, score, (left, top, right, bottom) in the image's pixels), best first."""

    path: Path
    found: list[tuple[str, float, tuple[float, float, float, float]]]


def predict(run: Path, images: Sequence[Path], out: Path, *, threshold: float) -> Iterator[Drawn]:
    """Write a PNG of each image to `out`, with the boxes of a score of `threshold` or more, and yield what was found.

    Raises: RunFolderError without a finished run; RecipeError for a run of another task; DataError for a file that is
    no image, a folder that can't be written, or a picture that would replace an image or another's picture.
    """
    read_summary(run)
    targets = _targets(images, out)
    name, config = recipe.read(run / "config.yaml")
    if not isinstance(config, DetectionConfig):
        raise RecipeError("task", "detection", name, cure="give a run of `distill train detection`")
    task = Detection.untaught(config)
    load_weights(task.module, run)
    task.module.eval()
    train, _ = data.load(config.data)
    names = [each for _, each in train.categories]
    mean, deviation = of_bytes(config.data.normalisation, task.device)
    for path, target in targets.items():
        picture = _read(path)
        plan = geometry.evaluation(picture.size, data.edge(config.data))
        pixels = torch.from_numpy(np.asarray(plan.image(picture)).transpose(2, 0, 1).copy()).to(task.device)
        normalised = ((pixels.float() - mean) / deviation)[None]
        with torch.no_grad():
            detections = task.student(normalised, torch.zeros_like(normalised[:, 0], dtype=torch.bool))
        corners, labels, scores = (each[0].cpu() for each in best(detections))
        scaled = (corners * torch.tensor(picture.size * 2)).tolist()
        rows = zip(labels.tolist(), scores.tolist(), scaled, strict=True)
        found = [(names[label], score, tuple(box)) for label, score, box in rows if score >= threshold]
        _write(draw(picture, found), target)
        yield Drawn(target, found)


def draw(image: Image.Image, found: Sequence[tuple[str, float, tuple[float, float, float, float]]]) -> Image.Image:
    """Return the image with boxes, a colour a category; a small one is enlarged by a whole number.

    Up to a shorter edge of 320 pixels, and a longer one of 3200: a strip stays one.
    """
    scale = max(1, min(-(-_SMALLEST // min(image.size)), 10 * _SMALLEST // max(image.size)))
    picture = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    brush = ImageDraw.Draw(picture)
    kinds = sorted({name for name, *_ in found})
    for name, score, box in reversed(found):  # the best on top
        colour = COLOURS[1:][kinds.index(name) % (len(COLOURS) - 1)]
        left, top, right, bottom = (scale * side for side in box)
        left, right = sorted((left, right))
        brush.rectangle((left, top, right, max(top, bottom)), outline=colour, width=2)
        said = f"{name} {100 * score:.0f} %"
        edges = brush.textbbox((left + 3, max(0, top - 12)), said)
        brush.rectangle(edges, fill=colour)
        brush.text(edges[:2], said, fill="black", anchor="lt")
    return picture


def _targets(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Return where the picture of each image goes."""
    targets = {path: out / f"{path.stem}.png" for path in images}
    images_of = {target: path for path, target in targets.items()}
    taken = {path.resolve() for path in images}
    for path, target in targets.items():
        other = images_of[target]
        if other != path:
            raise DataError(other, f"a name that {path} hasn't", path.stem, cure="predict them into two folders")
        if target.resolve() in taken:
            raise DataError(target, "a picture's own name", "that of an image", cure="name another folder by --out")
    return targets


def _read(path: Path) -> Image.Image:
    try:
        return decode(path.read_bytes())
    except Exception as error:  # Pillow's plugins raise nearly anything for a broken file
        got = f"{type(error).__name__}: {error}"
        raise DataError(path, "an image", got, cure="give image files alone") from error


def _write(picture: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise DataError(path, "a folder that can be written", str(error), cure="name another by --out") from error
