"""A piece of work: a job's run, or the teacher that runs share. It travels to its worker as a line of JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill import recipe, tasks
from distill.jobs import Job
from distill.run_folder import is_finished
from distill.train import run_config, teach, train


@dataclass(frozen=True)
class Work:
    """What one worker does at a time: the run of a job, or with `is_teacher` only the teacher of its folder."""

    job: Job
    is_teacher: bool = False

    @property
    def folder(self) -> Path:
        """The folder that holds what the work makes."""
        return self.job.teacher_folder if self.is_teacher else self.job.folder

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return is_finished(self.folder)

    @property
    def processes(self) -> int:
        """How many processes work on it together; a teacher is trained by one."""
        return 1 if self.is_teacher else self.job.config.scale.devices

    def perform(self) -> None:
        """Do it in this process, from its last checkpoint if it has one.

        Raises: what `distill.train.train` raises.
        """
        job = self.job
        if self.is_teacher:
            teach(job.task, job.config, job.teacher_folder)
        else:
            train(job.task, job.config, job.folder, teacher_folder=job.teacher_folder, resume=True)

    def to_line(self) -> str:
        """Return the work as one line that `from_line` reads, its folders as absolute paths."""
        job = self.job
        folders = {"folder": str(job.folder.resolve()), "teacher_folder": str(job.teacher_folder.resolve())}
        return json.dumps({"config": run_config(job.task, job.config), **folders, "is_teacher": self.is_teacher})

    @classmethod
    def from_line(cls, line: str) -> "Work":
        """Return the work of a line.

        Raises: RecipeError, RecipeFileError.
        """
        content = json.loads(line)
        task, config = recipe.parse(content["config"], content["folder"])
        job = Job(task, config, Path(content["folder"]), Path(content["teacher_folder"]))
        return cls(job, content["is_teacher"])


def needs_teacher(job: Job) -> bool:
    """Whether a job's run learns from its teacher."""
    return "teacher" not in tasks.get(job.task).idle(job.config)


def teachers(jobs: Sequence[Job]) -> list[Work]:
    """Return the teachers that jobs learn from, each once."""
    taught = [job for job in jobs if needs_teacher(job)]
    firsts = {job.teacher_folder: job for job in reversed(taught)}
    return [Work(job, is_teacher=True) for job in taught if firsts[job.teacher_folder] is job]


def in_two_waves(jobs: Sequence[Job], do: Callable[[list[Work]], dict[Path, str]]) -> dict[Path, str]:
    """Do what is left: the teachers, so that none is trained twice, then every run whose teacher is there.

    Runs without a teacher fill the workers that teachers leave idle.
    do: does pieces of work and returns the folders of those that failed, with the reasons. So does this.
    """
    left = [job for job in jobs if not Work(job).is_done]
    missing = [work for work in teachers(left) if not work.is_done]
    waiting = [job for job in left if needs_teacher(job)] if missing else left
    others = [job for job in left if not needs_teacher(job)] if missing else []
    failed = do([*missing, *map(Work, others)]) if missing else {}
    second = [Work(job) for job in waiting if job.teacher_folder not in failed]
    return failed | (do(second) if second else {})
