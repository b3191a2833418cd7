"""A job: one run to be made, described in full before anything runs."""

from dataclasses import dataclass
from pathlib import Path

from distill.config import Config


@dataclass(frozen=True)
class Job:
    """One run: what to train, in which folder, with the teacher of which folder (trained there first if need be)."""

    task: str
    config: Config
    folder: Path
    teacher_folder: Path
