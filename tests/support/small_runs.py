"""The smallest run that still passes through everything: teacher, student, projector, evaluation, checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distill import recipe
from distill.config import ClassificationConfig
from distill.loop import _Trainer
from distill.run_folder import read_records
from distill.train import train

SMALL = [
    *("--budget", "steps:12", "--evaluations", "4", "--data.batch_size", "16", "--data.labels_per_class", "4"),
    *("--student.width", "8", "--student.depth", "1", "--student.heads", "2", "--data.unlabelled", "16"),
    *("--teacher.width", "4", "--teacher.budget", "steps:4"),
]


def small(*flags: str) -> ClassificationConfig:
    """Return the digits recipe cut down to a fraction of a second, with flags over it."""
    return recipe.load("classification", "digits", [*SMALL, *flags])


def run_small(folder: Path, *flags: str, resume: bool = False) -> dict[str, Any]:
    """Train a small run in `folder`, with its teacher beside it, and return the summary."""
    teacher_folder = folder.parent / "teacher"
    return train("classification", small(*flags), folder, teacher_folder=teacher_folder, resume=resume)


def figures(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run without the one column that a clock fills."""
    return [{key: value for key, value in record.items() if key != "train_seconds"} for record in read_records(folder)]


class Killed(Exception):
    """Stands for a kill at a known step."""


@contextmanager
def killed(*, step: int, longer_than: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill the run within before its step number `step`; runs of `longer_than` steps at most, a teacher's, are left."""
    advance = _Trainer.advance

    def stop_or_advance(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        if trainer.schedule.amount > longer_than and trainer.step == step:
            raise Killed
        return advance(trainer, is_interrupted=is_interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "advance", stop_or_advance)
        with pytest.raises(Killed):
            yield


def run_killed(folder: Path, *flags: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small run until a kill before its step number `step`; the teacher's run of four steps is left alone."""
    with killed(step=step, longer_than=4, monkeypatch=monkeypatch):
        run_small(folder, *flags)
