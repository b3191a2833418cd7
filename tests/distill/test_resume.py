"""A run that is killed at any moment ends with the numbers of one that isn't."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SMALL, figures, run_small

import stiefel
from distill import checkpoint
from distill.errors import CheckpointError, RunFolderError
from distill.loop import _Trainer
from distill.run_folder import METRICS

LIMIT_SECONDS = 60


class Killed(Exception):
    """Stands for a kill at a known step."""


def weights(folder: Path) -> dict[str, Any]:
    return checkpoint.load(checkpoint.paths(folder)[-1])["module"]


def assert_same_run(one: Path, other: Path) -> None:
    assert figures(one) == figures(other)
    before, after = weights(one), weights(other)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _Trainer.advance

    def stop_or_advance(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        # The teacher's run has four steps and is left alone.
        if trainer.schedule.amount > 4 and trainer.step == step:
            raise Killed
        return advance(trainer, is_interrupted=is_interrupted)

    monkeypatch.setattr(_Trainer, "advance", stop_or_advance)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("by", stiefel.names())
def test_every_parameterisation_resumes_bit_for_bit(
    by: str, optimiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--parameterisation", by, "--optimiser.name", optimiser, "--gamma", "1"]
    run_small(tmp_path / "whole", *flags)
    with monkeypatch.context() as patch:
        kill_at(8, patch)
        with pytest.raises(Killed):
            run_small(tmp_path / "killed", *flags)
    assert len(figures(tmp_path / "killed")) == 2
    run_small(tmp_path / "killed", *flags, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("normalise", ["none", "whiten"])
def test_a_normalisation_with_state_resumes_bit_for_bit(
    normalise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--normalise", normalise]
    run_small(tmp_path / "whole", *flags)
    with monkeypatch.context() as patch:
        kill_at(5, patch)
        with pytest.raises(Killed):
            run_small(tmp_path / "killed", *flags)
    run_small(tmp_path / "killed", *flags, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_records_past_the_checkpoint_and_a_half_written_line_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_small(tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(8, patch)
        with pytest.raises(Killed):
            run_small(tmp_path / "killed")
    with open(tmp_path / "killed" / METRICS, "a", encoding="utf-8") as file:
        file.write('{"step": 9, "loss": 1.0}\n{"step": 12, "lo')
    run_small(tmp_path / "killed", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_damaged_checkpoint_costs_what_its_message_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_small(tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(8, patch)
        with pytest.raises(Killed):
            run_small(tmp_path / "killed")
    last = checkpoint.paths(tmp_path / "killed")[-1]
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(
        CheckpointError, match=f"delete it to continue from {checkpoint.paths(tmp_path / 'killed')[0].name}"
    ):
        run_small(tmp_path / "killed", resume=True)
    last.unlink()
    run_small(tmp_path / "killed", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_training_seconds_add_up_over_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        kill_at(6, patch)
        with pytest.raises(Killed):
            run_small(tmp_path / "run")
    spent = checkpoint.load(checkpoint.paths(tmp_path / "run")[-1])["train_seconds"]
    assert run_small(tmp_path / "run", resume=True)["train_seconds"] > spent > 0


def test_a_finished_run_is_resumed_by_its_summary(tmp_path: Path) -> None:
    summary = run_small(tmp_path / "run")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert run_small(tmp_path / "run", resume=True) == summary
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == stamps


def test_a_run_is_not_resumed_under_another_recipe(tmp_path: Path) -> None:
    run_small(tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"'alpha: 10.0', now 'alpha: 2.0'"):
        run_small(tmp_path / "run", "--alpha", "2", resume=True)


def start(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "distill",
        "train",
        "classification",
        "--run",
        str(folder),
        *SMALL,
        *LONGER,
        *flags,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ONE_THREAD)


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < end, "the run didn't get that far"
        time.sleep(0.002)


# Long enough that a kill lands inside the run, short enough for a test.
LONGER = ["--budget", "steps:60", "--evaluations", "30", "--teacher.budget", "steps:20"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def test_a_process_killed_again_and_again_ends_with_the_same_bits(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    teacher_checkpoints = killed / "teacher" / "checkpoints"
    moments: list[Callable[[], bool]] = [
        (killed / "config.yaml").exists,
        lambda: any(teacher_checkpoints.glob("*.pt")),
        lambda: len(figures(killed)) >= 8,
    ]
    for attempt, moment in enumerate(moments):
        process = start(killed, *(["--resume"] if attempt else []))
        wait_for(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (killed / "summary.json").exists()
    process = start(killed, "--resume")
    output, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, output.decode()
    run_small(whole, *LONGER)
    assert_same_run(whole, killed)
    assert_same_run(tmp_path / "teacher", killed / "teacher")
