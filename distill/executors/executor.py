"""The contract of an executor, and how jobs are given to one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from distill import lock
from distill.errors import JobsError
from distill.jobs import Job
from distill.processes import is_first_process
from distill.run_folder import RunFolder, is_finished
from distill.train import run_config


@dataclass(frozen=True)
class Executor(ABC):
    """Takes jobs to where they run. An executor's fields are its options on the command line."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], folder: Path) -> dict[Path, str]:
        """Do what is left of the jobs, teachers first, and return the folders of those that failed, with the reasons.

        A job that fails for a reason which a user can mend isn't tried again; one whose worker dies is. The others
        go on. folder: the comparison's, for files of the executor's own.
        Raises: PendingRunsError if the jobs run after this command; InterruptedRunError after Ctrl-C.
        """


def execute(jobs: Sequence[Job], executor: Executor, folder: Path) -> None:
    """Finish every job: those that are finished already are left alone, others go on from their last checkpoint.

    One command at a time works in a comparison's folder; killed at any moment, it loses no run.
    Raises: RunFolderError, before anything runs, for a folder that another command works in or that holds a run of
    another recipe; JobsError listing the jobs that failed, after all others are finished; what executors raise.
    """
    for job in jobs:
        RunFolder(job.folder, run_config(job.task, job.config)).check(resume=True)
    with lock.locked(folder) if is_first_process() else nullcontext():
        failed = executor.run(jobs, folder)
    if failed:
        raise JobsError(failed, done=sum(is_finished(job.folder) for job in jobs), total=len(jobs))
