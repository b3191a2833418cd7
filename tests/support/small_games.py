"""The smallest generation run that still passes through everything: teacher, judge, both players, pictures."""

from pathlib import Path
from typing import Any

import pytest

from distill import recipe
from distill.config import Config
from distill.loop import _Trainer
from distill.train import train

SMALL = [
    *("--budget", "steps:6", "--evaluations", "3", "--data.batch_size", "8", "--data.fraction", "0.1"),
    *("--teacher.width", "4", "--teacher.budget", "steps:2", "--metrics.width", "4", "--metrics.budget", "steps:2"),
    *("--metrics.samples", "40"),
]


def small(*flags: str) -> Config:
    """Return the digits recipe cut down to seconds, with flags over it."""
    return recipe.load("generation", "digits", [*SMALL, *flags])


def run_small(folder: Path, *flags: str, resume: bool = False) -> dict[str, Any]:
    """Train a small game in `folder`, with its teacher and judge beside it, and return the summary."""
    return train("generation", small(*flags), folder, teacher_folder=folder.parent / "teacher", resume=resume)


class Killed(Exception):
    """Stands for a kill at a known step."""


def run_killed(folder: Path, *flags: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small game until a kill before its step number `step`; the classifiers' two steps are left alone."""
    advance = _Trainer.advance

    def stop_or_advance(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        if trainer.schedule.amount > 2 and trainer.step == step:
            raise Killed
        return advance(trainer, is_interrupted=is_interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "advance", stop_or_advance)
        with pytest.raises(Killed):
            run_small(folder, *flags)
