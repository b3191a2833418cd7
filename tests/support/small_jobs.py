"""Small jobs that share a teacher, and what they leave behind."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from small_runs import figures, small

from distill.jobs import Job
from distill.lock import LOCK

LIMIT_SECONDS = 300


def jobs(folder: Path, count: int, *flags: str) -> list[Job]:
    """Return small runs of seeds 0 … count − 1 under a folder, which is made."""
    folder.mkdir(exist_ok=True)
    config = small("--threads", "1", *flags)
    return [
        Job("classification", replace(config, seed=seed), folder / "runs" / f"seed-{seed}", folder / "teacher")
        for seed in range(count)
    ]


def found(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the records of every run and teacher under a folder, without the clock's."""
    paths = sorted(path.parent for path in folder.rglob("summary.json"))
    return {str(path.relative_to(folder)): figures(path) for path in paths}


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < end, "it didn't get that far"
        time.sleep(0.002)


def writer(folder: Path) -> int:
    """Return the number of the process that writes a run."""
    return int((folder / LOCK).read_text().split()[1])
