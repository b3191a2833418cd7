"""Runs as tasks of a Ray of this machine."""

import sys
from pathlib import Path

import pytest
from small_jobs import found, jobs

from distill.errors import ExecutorError, JobsError
from distill.executors.executor import execute
from distill.executors.local import Local
from distill.executors.ray import Ray
from stiefel.errors import MissingExtraError


def test_without_ray_its_extra_is_named_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--executor ray needs ray; install `stiefel-distill\[ray\]`"):
        Ray()


@pytest.fixture
def installed() -> None:
    pytest.importorskip("ray", reason="ray isn't installed: pip install 'stiefel-distill[ray]'")


@pytest.mark.usefixtures("installed")
# Ray's own sockets and files, left to the garbage collector when it shuts down.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_ray_finds_what_this_process_finds_and_lists_what_failed(tmp_path: Path) -> None:
    here, there = jobs(tmp_path / "here", 2), jobs(tmp_path / "there", 2)
    # Plain gradient descent at this rate overflows at once.
    (broken,) = jobs(tmp_path / "broken", 1, "--optimiser.name", "sgd", "--optimiser.lr", "1e15")
    execute(here, Local(workers=1), tmp_path / "here")
    with pytest.raises(JobsError, match="expected 3 finished runs, got 2") as error:
        execute([*there, broken], Ray(), tmp_path / "there")
    assert "expected a finite loss" in error.value.reasons[broken.folder]
    assert found(tmp_path / "there") == found(tmp_path / "here")


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_machine_too_small_for_a_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="expected 1024 CPUs and 0 GPUs for a run, got"):
        execute(jobs(tmp_path, 1, "--threads", "1024"), Ray(), tmp_path)
