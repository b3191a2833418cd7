"""The smallest generation run that still passes through everything: teacher, judge, both players, pictures."""

from pathlib import Path
from typing import Any

import pytest
from small_runs import killed

from distill import recipe
from distill.config import Config
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


def run_killed(folder: Path, *flags: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small game until a kill before its step number `step`; the classifiers' two steps are left alone."""
    with killed(step=step, longer_than=2, monkeypatch=monkeypatch):
        run_small(folder, *flags)
