"""Several processes train what one trains: the same losses, the same folder, the same end after a kill."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, figures, run_small

from distill import checkpoint
from distill.processes import Processes, _found, is_first_process
from distill.run_folder import read_summary

LIMIT_SECONDS = 120
# Two processes and one add the same numbers in another order; twelve steps of AdamW carry it on.
TOLERANCE = 1e-4
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
LAUNCHERS = {
    "one process": [sys.executable, "-m", "distill"],
    "its own command": [sys.executable, "-m", "distill"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "--", "distill"],
}


def start(launcher: str, folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    devices = ["--scale.devices", "2"] if launcher == "its own command" else []
    words = ["train", "classification", "--run", str(folder), *SMALL, *devices, *flags]
    command = [*LAUNCHERS[launcher], *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> str:
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, errors.decode()
    return output.decode()


def assert_close(one: Path, other: Path) -> None:
    assert len(figures(one)) == len(figures(other)) > 0
    for before, after in zip(figures(one), figures(other), strict=True):
        assert before.keys() == after.keys()
        losses = [key for key in before if key.endswith("loss") or key == "accuracy"]
        assert [after[key] for key in losses] == pytest.approx([before[key] for key in losses], rel=TOLERANCE)


FLAGS = {"its own command": [], "torchrun": ["--gamma", "1", "--normalise", "whiten"]}


@pytest.mark.parametrize("launcher", FLAGS)
def test_two_processes_give_the_losses_of_one(launcher: str, tmp_path: Path) -> None:
    sharded = ["--scale.shard_teacher", "true"] if launcher == "torchrun" else []
    process = start(launcher, tmp_path / "two", *FLAGS[launcher], *sharded)
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, errors.decode()
    assert output.decode().count("run folder") == 1
    assert "unused parameters" not in errors.decode()
    run_small(tmp_path / "one", *FLAGS[launcher])
    assert_close(tmp_path / "one", tmp_path / "two")
    config = (tmp_path / "two" / "config.yaml").read_text()
    assert ("devices: 2" in config) == (launcher == "its own command")


def test_a_slice_worked_off_in_parts_gives_the_losses_of_a_whole_one(tmp_path: Path) -> None:
    run_small(tmp_path / "whole")
    run_small(tmp_path / "parts", "--scale.accumulate", "4")
    assert_close(tmp_path / "whole", tmp_path / "parts")


def test_an_error_of_two_processes_is_said_once(tmp_path: Path) -> None:
    process = start("its own command", tmp_path / "run", "--optimiser.lr", "1e15", "--optimiser.name", "sgd")
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2
    assert errors.decode().count("expected a finite loss") == 1
    assert "Traceback" not in errors.decode()


def test_a_folder_that_is_taken_stops_both_processes(tmp_path: Path) -> None:
    run_small(tmp_path / "run")
    process = start("its own command", tmp_path / "run")
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2
    assert errors.decode().count("add --resume") == 1


def test_a_launchers_processes_are_counted_and_a_shell_in_an_allocation_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert _found() is None
    for name, value in {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "vkd"}.items():
        monkeypatch.setenv(name, value)
    assert _found() == (4, 2)
    assert not is_first_process()
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert _found() is None
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}.items():
        monkeypatch.setenv(name, value)
    assert _found() == (2, 3)


def test_checkpointed_activations_change_no_loss(tmp_path: Path) -> None:
    run_small(tmp_path / "kept")
    run_small(tmp_path / "computed", "--scale.checkpointing", "true")
    assert_close(tmp_path / "kept", tmp_path / "computed")


@pytest.mark.nightly
def test_a_compiled_run_has_the_losses_of_an_eager_one(tmp_path: Path) -> None:
    run_small(tmp_path / "eager")
    # In a process of its own: Dynamo can't trace the shape checker of the tests.
    finish(start("one process", tmp_path / "compiled", "--scale.compile", "true"))
    assert_close(tmp_path / "eager", tmp_path / "compiled")


# Long enough that a kill lands inside the run.
LONGER = ["--budget", "steps:40", "--evaluations", "20"]


def kill_at_random_moments(folder: Path, launcher: str, kills: int, seed: int) -> None:
    """Kill every process of a run again and again, each time after a random while, then let it end."""
    chance = random.Random(seed)
    for attempt in range(kills):
        process = start(launcher, folder, *LONGER, *(["--resume"] if attempt else []))
        time.sleep(chance.uniform(0, 12))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(start(launcher, folder, *LONGER, *(["--resume"] if (folder / "config.yaml").exists() else [])))


def test_two_processes_killed_together_end_with_the_same_bits(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    process = start("its own command", folder, *LONGER)
    end = time.monotonic() + LIMIT_SECONDS
    while len(figures(folder)) < 6:
        assert time.monotonic() < end, "the run didn't get that far"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "summary.json").exists()
    finish(start("its own command", folder, *LONGER, "--resume"))
    finish(start("its own command", tmp_path / "whole", *LONGER))
    assert figures(folder) == figures(tmp_path / "whole")
    before, after = (checkpoint.load(checkpoint.paths(each)[-1])["module"] for each in (folder, tmp_path / "whole"))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_process_that_dies_takes_the_other_with_it(tmp_path: Path) -> None:
    process = start("its own command", tmp_path / "run", "--budget", "steps:100000")
    end = time.monotonic() + LIMIT_SECONDS
    while not figures(tmp_path / "run") and not list((tmp_path / "run").glob("metrics.jsonl")):
        assert time.monotonic() < end, "the run didn't get that far"
        time.sleep(0.01)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode != 0


def test_one_process_is_first_and_alone() -> None:
    processes = Processes()
    processes.launch()
    assert (processes.rank, processes.world, processes.is_first) == (0, 1, True)
    assert processes.first(lambda: 7) == 7
    values = torch.arange(3.0)
    assert processes.mean(values) is processes.sum(values) is values


@pytest.mark.nightly
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_twenty_kills_at_random_moments_change_nothing(launcher: str, tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path / "killed", launcher, kills=20, seed=0)
    finish(start(launcher, tmp_path / "whole", *LONGER))
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")
    summaries = [read_summary(tmp_path / name) for name in ("killed", "whole")]
    assert summaries[0]["accuracy"] == summaries[1]["accuracy"]
