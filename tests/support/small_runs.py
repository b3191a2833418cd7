"""The smallest run that still passes through everything: teacher, student, projector, evaluation, checkpoint."""

from pathlib import Path
from typing import Any

from distill import recipe
from distill.config import Config
from distill.run_folder import read_records
from distill.train import train

SMALL = [
    *("--budget", "steps:12", "--evaluations", "4", "--data.batch_size", "16", "--data.labels_per_class", "4"),
    *("--student.width", "8", "--student.depth", "1", "--student.heads", "2", "--data.unlabelled", "16"),
    *("--teacher.width", "4", "--teacher.budget", "steps:4"),
]


def small(*flags: str) -> Config:
    """Return the digits recipe cut down to a fraction of a second, with flags over it."""
    return recipe.load("classification", "digits", [*SMALL, *flags])


def run_small(folder: Path, *flags: str, resume: bool = False) -> dict[str, Any]:
    """Train a small run in `folder`, with its teacher beside it, and return the summary."""
    teacher_folder = folder.parent / "teacher"
    return train("classification", small(*flags), folder, teacher_folder=teacher_folder, resume=resume)


def figures(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run without the one column that a clock fills."""
    return [{key: value for key, value in record.items() if key != "train_seconds"} for record in read_records(folder)]
