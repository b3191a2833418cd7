"""Two processes never write one run: the second waits, then says who is there."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_runs import figures, run_small

from distill import lock
from distill.errors import RunFolderError
from distill.lock import is_locked, locked
from distill.run_folder import read_summary

# Whoever holds the file's lock, by whatever program: this one starts in no time.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("another program", file=file, flush=True)
print("held", flush=True)
time.sleep(600)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder / lock.LOCK)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    process = hold(tmp_path)
    assert is_locked(tmp_path)
    with (
        pytest.raises(RunFolderError, match="is being written by another program; wait"),
        locked(tmp_path, patience=0.2),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not is_locked(tmp_path)
    with locked(tmp_path, patience=0):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_second_process_waits_its_turn(tmp_path: Path) -> None:
    process = hold(tmp_path)
    threading.Timer(0.3, process.kill).start()
    with locked(tmp_path, patience=60):
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_folder_that_was_never_locked_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_cannot_be_locked_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / lock.LOCK).mkdir()
    with pytest.raises(RunFolderError, match=r"can't be locked \(Is a directory\); mend"), locked(tmp_path):
        pass


def test_a_run_is_not_trained_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(lock, "locked", lambda folder, *, patience: locked(folder, patience=0))
    with locked(tmp_path / "run"), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        run_small(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [lock.LOCK]
    run_small(tmp_path / "run")
    assert not is_locked(tmp_path / "run")


def test_a_run_waits_for_the_process_that_trains_its_teacher_and_takes_what_it_left(tmp_path: Path) -> None:
    run_small(tmp_path / "before" / "run")
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    process = hold(teacher)

    def finish() -> None:
        shutil.copytree(tmp_path / "before" / "teacher", teacher, dirs_exist_ok=True)
        (teacher / "summary.json").write_text('{"of": "the other process"}')
        process.kill()

    threading.Timer(0.3, finish).start()
    run_small(tmp_path / "run")
    process.communicate()
    assert read_summary(teacher) == {"of": "the other process"}
    assert figures(tmp_path / "run") == figures(tmp_path / "before" / "run")
