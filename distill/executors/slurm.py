"""Runs as the elements of a SLURM job array, which outlives the command that wrote it."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.errors import ExecutorError, PendingRunsError
from distill.executors.executor import Executor
from distill.executors.work import Work, teachers
from distill.executors.worker import MODULE
from distill.jobs import Job
from distill.lock import is_locked
from distill.run_folder import write_atomically

_FOLDER, _LINES, _SCRIPT = "slurm", "jobs.jsonl", "array.sh"


@dataclass(frozen=True)
class Slurm(Executor):
    """submit: give the array to `sbatch`, instead of printing the command that does.

    Element k of the array does line k + 1 of `slurm/jobs.jsonl`: the teachers, then the runs, in an order that depends
    on the comparison alone. So a second script for what is missing can't mix up what the first one still runs.
    """

    submit: bool = False

    def run(self, jobs: Sequence[Job], folder: Path) -> dict[Path, str]:
        works = [*teachers(jobs), *(Work(job) for job in jobs)]
        left = {number: work for number, work in enumerate(works) if not work.is_done}
        if not left:
            return {}
        script = _write(works, folder / _FOLDER)
        running = {number for number, work in left.items() if is_locked(work.folder)}
        missing = [number for number in left if number not in running]
        raise PendingRunsError(
            [left[number].folder for number in sorted(running)],
            [left[number].folder for number in missing],
            total=len(works),
            state=self._started(_command(script, works, missing), script) if missing else _collect("wait for them"),
        )

    def _started(self, command: str, script: Path) -> str:
        if not self.submit:
            return _collect(f"start what is missing with\n  {command}")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            cure = f"submit {script} by hand, on a machine that has SLURM"
            raise ExecutorError("slurm", "sbatch to take the job array", said, cure=cure)
        return _collect(f"submitted: {done.stdout.strip()}; each element writes its log beside {script}")


def _collect(first: str) -> str:
    return f"{first}\nthen give the same command with --resume"


def _command(script: Path, works: Sequence[Work], missing: Sequence[int]) -> str:
    """Return the shell command that submits elements; runs start when the teachers that are submitted are there."""
    path = shlex.quote(str(script))
    first = [number for number in missing if works[number].is_teacher]
    second = [number for number in missing if not works[number].is_teacher]
    if not first or not second:
        return f"sbatch --array={_ranges(missing)} {path}"
    taught = f"$(sbatch --parsable --array={_ranges(first)} {path})"
    return f"sbatch --array={_ranges(second)} --dependency=afterok:{taught} {path}"


def _ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers as sbatch takes them: 0,3-5."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, each)) for each in ranges)


def _write(works: Sequence[Work], folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(exist_ok=True)
    write_atomically(folder / _LINES, "".join(f"{work.to_line()}\n" for work in works))
    configs = [work.job.config for work in works]
    processes = max(work.processes for work in works)
    asked = {
        "job-name": f"distill-{folder.parent.name}",
        "output": str(folder / "%a.log"),
        "open-mode": "append",
        "chdir": str(Path.cwd()),
        "nodes": 1,
        "ntasks": processes,
        "cpus-per-task": max(1, *(config.threads for config in configs)),
    }
    if any(config.device.startswith("cuda") for config in configs):
        asked["gpus-per-node"] = processes
    options = "".join(f"#SBATCH --{name}={shlex.quote(str(value))}\n" for name, value in asked.items())
    script = f"""#!/bin/bash
# Written by `distill`. Partition, account and time: SBATCH_PARTITION and so on, or flags of sbatch over these.
{options}#SBATCH --requeue
line=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(folder / _LINES))})
exec srun {shlex.quote(sys.executable)} -m {MODULE} "$line"
"""
    write_atomically(folder / _SCRIPT, script)
    return folder / _SCRIPT
