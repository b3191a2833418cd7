"""Runs as tasks of Ray, on this machine or a cluster whose machines share the file system and have `distill`."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import extras
from distill.errors import DistillError, ExecutorError, InterruptedRunError
from distill.executors import machine
from distill.executors.executor import Executor
from distill.executors.slot import Slot
from distill.executors.watch import watching
from distill.executors.work import Work, in_two_waves
from distill.jobs import Job
from stiefel.errors import StiefelError

# After Ctrl-C, for runs to end their step and write a checkpoint.
_GRACE_SECONDS = 60


@dataclass(frozen=True)
class Ray(Executor):
    """retries: of a run whose worker dies. ray_address: a cluster's, "" starts Ray on this machine alone.

    A run asks for `threads` CPUs for each of its processes, and on cuda for a GPU each.
    """

    retries: int = 2
    ray_address: str = ""

    def __post_init__(self) -> None:
        _ray()  # a package that is missing is said before there is a folder

    def run(self, jobs: Sequence[Job], folder: Path) -> dict[Path, str]:
        ray = _ray()
        if self.ray_address:
            ray.init(address=self.ray_address, log_to_driver=False)
        else:
            ray.init(address="local", log_to_driver=False, include_dashboard=False)
        try:
            return in_two_waves(jobs, lambda works: self._perform(ray, works, folder))
        finally:
            ray.shutdown()

    def _perform(self, ray: Any, works: list[Work], folder: Path) -> dict[Path, str]:
        needs = {"num_cpus": 1, "num_gpus": 0}
        for work in works:
            config = work.job.config
            needs["num_cpus"] = max(needs["num_cpus"], work.processes * max(1, config.threads))
            if config.device.startswith("cuda"):
                needs["num_gpus"] = max(needs["num_gpus"], work.processes)
        slots = self._room(ray, needs)
        do = ray.remote(max_retries=self.retries, retry_exceptions=True, **needs)(_do)
        failed = {}
        with watching(works, slots=min(slots, len(works))) as watch:
            pending = {do.remote(work.to_line(), os.getcwd()): work for work in works}
            try:
                while pending:
                    (done, *_), _ = ray.wait(list(pending))
                    work = pending.pop(done)
                    reason, seconds = self._outcome(ray, done)
                    watch.end(work, seconds=seconds)
                    if reason is not None:
                        failed[work.folder] = reason
            except KeyboardInterrupt:
                for each in pending:
                    ray.cancel(each)
                ray.wait(list(pending), num_returns=len(pending), timeout=_GRACE_SECONDS)
                raise InterruptedRunError(folder) from None
        return failed

    def _room(self, ray: Any, needs: dict[str, int]) -> int:
        """Return how many runs the cluster takes at a time; a cluster may grow, this machine can't."""
        there = ray.cluster_resources()
        slots = int(there.get("CPU", 0) // needs["num_cpus"])
        if needs["num_gpus"]:
            slots = min(slots, int(there.get("GPU", 0) // needs["num_gpus"]))
        if slots == 0 and not self.ray_address:
            got = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
            expected = f"{needs['num_cpus']} CPUs and {needs['num_gpus']} GPUs for a run"
            raise ExecutorError("ray", expected, got, cure="lower threads or scale.devices, or give --ray-address")
        return max(1, slots)

    def _outcome(self, ray: Any, done: Any) -> tuple[str | None, float | None]:
        try:
            return ray.get(done)
        except ray.exceptions.RayError as error:
            said = (str(error).strip() or type(error).__name__).splitlines()
            return f"its worker died, {1 + self.retries} times; the first and last words: {said[0]} … {said[-1]}", None


def _ray() -> Any:
    return extras.load("ray", needed_by="--executor ray")


def _do(line: str, folder: str) -> tuple[str | None, float]:
    """Do a piece of work in a worker of Ray's; return why it failed, None if it didn't, and the seconds it took."""
    os.chdir(folder)  # recipes name data by paths that start there
    started, work, failure = time.monotonic(), Work.from_line(line), None
    if work.processes > 1:
        slot = Slot(machine.environments(1, [work.job.config])[0])
        try:
            slot.start()
            slot.give(work)
            failure = slot.outcome()
        finally:
            slot.close()
    else:
        try:
            work.perform()
        except (DistillError, StiefelError) as error:
            failure = str(error)
    return failure, time.monotonic() - started
