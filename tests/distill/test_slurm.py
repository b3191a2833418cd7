"""The job array that is written for SLURM, run by a stand-in for sbatch and srun that does what they would."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from small_jobs import found, jobs

from distill.config import Scale
from distill.errors import ExecutorError, PendingRunsError
from distill.executors import slurm
from distill.executors.executor import execute
from distill.executors.local import Local
from distill.executors.slurm import Slurm
from distill.lock import locked

# Takes its options, runs every element of the array in turn and says its number, as `sbatch --parsable` does.
SBATCH = r"""#!/bin/bash
echo "$*" >> "$CALLS"
for word in "$@"; do
  case $word in
    --array=*) elements=${word#--array=} ;;
    --*) ;;
    *) script=$word ;;
  esac
done
for element in ${elements//,/ }; do
  for number in $(seq "${element%-*}" "${element#*-}"); do
    SLURM_ARRAY_TASK_ID=$number bash "$script" >> "$(dirname "$script")/$number.log" 2>&1
  done
done
echo 17
"""
# One process of one task: what a step of `srun` sees.
SRUN = """#!/bin/bash
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_NNODES=1 SLURM_JOB_ID=18 SLURM_JOB_NAME=x
exec "$@"
"""


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins on the path; return the file of what sbatch was given."""
    for name, content in {"sbatch": SBATCH, "srun": SRUN}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(content)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_a_submitted_array_finishes_the_runs_and_the_command_collects_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = jobs(tmp_path / "here", 1), jobs(tmp_path / "a folder", 1)
    execute(here, Local(workers=1), tmp_path / "here")
    calls = stand_in(tmp_path, monkeypatch)
    with pytest.raises(PendingRunsError, match="submitted: 17") as error:
        execute(there, Slurm(submit=True), tmp_path / "a folder")
    assert (error.value.running, error.value.missing) == ([], [there[0].teacher_folder, there[0].folder])
    first, second = calls.read_text().splitlines()
    assert first.startswith("--parsable --array=0 ")
    assert second.startswith("--array=1 --dependency=afterok:17 ")
    logs = {log.name: log.read_text() for log in (tmp_path / "a folder" / "slurm").glob("*.log")}
    execute(there, Slurm(submit=True), tmp_path / "a folder")
    assert found(tmp_path / "a folder") == found(tmp_path / "here"), logs
    assert len(calls.read_text().splitlines()) == 2


def test_what_is_missing_is_said_and_lines_keep_their_places(tmp_path: Path) -> None:
    few = jobs(tmp_path, 4, "--budget", "steps:2", "--evaluations", "1")
    execute(few[1:2], Local(workers=1), tmp_path)
    few[2].folder.mkdir()
    with locked(few[2].folder), pytest.raises(PendingRunsError) as error:
        execute(few, Slurm(), tmp_path)
    assert error.value.running == [few[2].folder]
    assert error.value.missing == [few[0].folder, few[3].folder]
    assert str(error.value).startswith("2 of 5 runs and teachers are finished")
    assert f"sbatch --array=1,4 {tmp_path / 'slurm' / 'array.sh'}\nthen give" in str(error.value)
    lines = (tmp_path / "slurm" / "jobs.jsonl").read_text().splitlines()
    assert [json.loads(line)["folder"] for line in lines] == [str(job.folder) for job in [few[0], *few]]
    assert subprocess.run(["bash", "-n", str(tmp_path / "slurm" / "array.sh")]).returncode == 0


def test_a_run_asks_for_what_it_needs(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, 1, "--threads", "3")
    two = replace(job, config=replace(job.config, device="cuda", scale=Scale(devices=2)))
    less = replace(job, config=replace(job.config, threads=1))
    for several, expected in [
        ([job], {"ntasks=1", "cpus-per-task=3"}),
        ([less, two], {"ntasks=2", "cpus-per-task=3", "gpus-per-node=2"}),
    ]:
        with pytest.raises(PendingRunsError):
            Slurm().run(several, tmp_path)
        script = (tmp_path / "slurm" / "array.sh").read_text().splitlines()
        assert expected <= {line.removeprefix("#SBATCH --") for line in script}


@pytest.mark.parametrize(
    ("numbers", "expected"), [([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 4, 7], "0,2-4,7"), ([5, 6], "5-6")]
)
def test_numbers_are_written_as_ranges(numbers: list[int], expected: str) -> None:
    assert slurm._ranges(numbers) == expected


def test_a_machine_without_slurm_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    (empty / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(ExecutorError, match=r"expected sbatch to take the job array, got .*not found; submit "):
        Slurm(submit=True).run(jobs(tmp_path / "run", 1), tmp_path / "run")
