"""The smallest detection run that still passes through everything: teacher, student, projectors, evaluation."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from distill import recipe
from distill.detection.config import DetectionConfig
from distill.detection.data import scenes
from distill.train import train


@cache
def few_scenes() -> Path:
    """Return a folder of 24 training and 7 held-out scenes."""
    folder = Path(mkdtemp(prefix="few-scenes-")) / "scenes"
    scenes.write(folder, {"train": 24, "val": 7})
    return folder


def flags() -> list[str]:
    """Return the recipe flags of a small run."""
    return [
        *("--budget", "steps:4", "--evaluations", "2", "--data.batch_size", "4", "--data.path", str(few_scenes())),
        *("--teacher.budget", "steps:2", "--teacher.name", "vidt_micro", "--student.name", "vidt_micro"),
        *("--data.images", "16"),
    ]


def small(*more: str) -> DetectionConfig:
    """Return the recipe of scenes cut down to seconds, with flags over it."""
    config = recipe.load("detection", "scenes", [*flags(), *more])
    assert isinstance(config, DetectionConfig)
    return config


def run_small(folder: Path, *more: str, resume: bool = False) -> dict[str, Any]:
    """Train a small run in `folder`, with its teacher beside it, and return the summary."""
    return train("detection", small(*more), folder, teacher_folder=folder.parent / "teacher", resume=resume)
