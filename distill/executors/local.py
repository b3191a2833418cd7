"""Runs on this machine: in this process one after the other, or side by side in worker processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.errors import DistillError, InterruptedRunError
from distill.executors import machine
from distill.executors.executor import Executor
from distill.executors.pool import Pool
from distill.executors.watch import watching
from distill.executors.work import Work, in_two_waves
from distill.jobs import Job
from distill.processes import is_launched
from stiefel.errors import StiefelError


@dataclass(frozen=True)
class Local(Executor):
    """workers: runs side by side, 0 for as many as the machine has room for. retries: of a run whose worker dies.

    One run at a time, of one process, takes place in this process, which nothing but `--resume` starts again.
    """

    workers: int = 0
    retries: int = 2

    def run(self, jobs: Sequence[Job], folder: Path) -> dict[Path, str]:
        if is_launched():
            # These processes work on each run together; what stops one run stops them all.
            for job in jobs:
                Work(job).perform()
            return {}
        # A grid may vary what a run takes of the machine: the most demanding one is made room for.
        configs = [job.config for job in jobs if not Work(job).is_done]
        if not configs:
            return {}
        count = min(self.workers or machine.room(configs), len(configs))
        if count == 1 and all(config.scale.devices == 1 for config in configs):
            return in_two_waves(jobs, _one_by_one)
        with Pool(machine.environments(count, configs), self.retries, folder) as pool:
            return in_two_waves(jobs, pool.perform)


def _one_by_one(works: list[Work]) -> dict[Path, str]:
    failed = {}
    with watching(works, slots=1) as watch:
        for work in works:
            watch.start(work)
            try:
                work.perform()
            except InterruptedRunError:
                raise
            except (DistillError, StiefelError) as error:
                failed[work.folder] = str(error)
            watch.end(work)
    return failed
