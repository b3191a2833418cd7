"""Workers that die, drivers that die: no run is lost, none is written twice, and every figure stays the same."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest
from small_jobs import found, jobs, wait_for, writer
from small_runs import SMALL, figures, small

from distill import cli
from distill.errors import InterruptedRunError
from distill.executors import machine
from distill.executors.executor import execute
from distill.executors.local import Local
from distill.executors.pool import Pool
from distill.executors.work import in_two_waves
from distill.lock import is_locked
from distill.run_folder import is_finished

# Long enough that a signal lands inside the run.
LONGER = ["--budget", "steps:60", "--evaluations", "30"]


@contextmanager
def pool(folder: Path, workers: int = 1, retries: int = 2) -> Iterator[Pool]:
    with Pool(machine.environments(workers, [small("--threads", "1")]), retries, folder) as made:
        yield made


def kill_at(folder: Path, records: int) -> threading.Thread:
    """Kill the process that writes a run once it has written so many records."""

    def kill() -> None:
        wait_for(lambda: len(figures(folder)) >= records)
        os.kill(writer(folder), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_run_whose_worker_is_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, killed = jobs(tmp_path / "whole", 2, *LONGER), jobs(tmp_path / "killed", 2, *LONGER)
    execute(whole, Local(workers=1), tmp_path / "whole")
    with pool(tmp_path / "killed") as workers:
        killer = kill_at(killed[0].folder, records=4)
        assert in_two_waves(killed, workers.perform) == {}
        killer.join()
    assert found(tmp_path / "killed") == found(tmp_path / "whole")


def test_a_run_whose_worker_always_dies_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    lost, kept = jobs(tmp_path / "runs", 2, *LONGER)
    with pool(tmp_path, retries=0) as workers:
        killer = kill_at(lost.folder, records=1)
        reasons = in_two_waves([lost, kept], workers.perform)
        killer.join()
    assert list(reasons) == [lost.folder]
    assert "was killed by SIGKILL, try 1 of 1" in reasons[lost.folder]
    assert is_finished(kept.folder)
    assert not is_locked(lost.folder)


def test_ctrl_c_lets_every_run_write_a_checkpoint(tmp_path: Path) -> None:
    few = jobs(tmp_path / "run", 2, "--budget", "steps:100000", "--evaluations", "1000")

    def interrupt() -> None:
        wait_for(lambda: all(figures(job.folder) for job in few))
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(InterruptedRunError, match="--resume continues"):
            execute(few, Local(workers=2), tmp_path / "run")
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(is_locked(job.folder) for job in few)
    # Beside the checkpoint of an evaluation, every hundred steps, only a run that is interrupted writes one. The run
    # whose first evaluation sent the signal stops at that very step; the other is somewhere in between.
    ahead = [last_step(job.folder) - figures(job.folder)[-1]["step"] for job in few]
    assert min(ahead) >= 0
    assert max(ahead) > 0


def last_step(folder: Path) -> int:
    return max(int(path.stem.split("-")[1]) for path in (folder / "checkpoints").glob("*.pt"))


def test_a_comparison_survives_its_driver_and_leaves_nobody_behind(tmp_path: Path) -> None:
    # One value a key: two would span a grid.
    keys = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | dict(zip(LONGER[::2], LONGER[1::2], strict=True))
    words = ["compare", "classification", *chain(*keys.items()), "--threads", "1", "--seeds", "1"]
    words += ["--parameterisation", "cayley"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "distill", *words, "--run", str(killed), "--workers", "2"]
    runs = [killed / "runs" / name / "seed-0" for name in ("no-distillation", "linear")]
    # Left by a failure, it waits for the driver: no other test finds it running.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as driver:
        wait_for(lambda: all(len(figures(run)) >= 2 for run in runs))
        workers = [writer(run) for run in runs]
        driver.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, workers)))
    assert not (killed / "summary.json").exists()
    assert cli.main([*words, "--run", str(killed), "--resume", "--workers", "1"]) == 0
    assert cli.main([*words, "--run", str(whole), "--workers", "1"]) == 0
    assert found(killed) == found(whole)


def test_a_run_of_two_processes_works_from_a_worker(tmp_path: Path) -> None:
    two, alone = jobs(tmp_path / "two", 1, "--scale.devices", "2"), jobs(tmp_path / "one", 1)
    execute(alone, Local(workers=1), tmp_path / "one")
    execute(two, Local(workers=1), tmp_path / "two")
    one, other = (found(each)["runs/seed-0"] for each in (tmp_path / "one", tmp_path / "two"))
    # Two processes add the same numbers in another order; twelve steps of AdamW carry it on.
    assert [each["loss"] for each in other] == pytest.approx([each["loss"] for each in one], rel=1e-4)


@pytest.mark.nightly
def test_two_hundred_runs_leave_memory_flat_and_none_is_lost(tmp_path: Path) -> None:
    many = jobs(tmp_path, 200, "--budget", "steps:3", "--evaluations", "1")
    sizes: dict[int, list[int]] = {}

    def sample() -> None:
        for number in range(10, 200, 10):
            wait_for(lambda number=number: is_finished(many[number].folder))
            for process in (os.getpid(), *(writer(job.folder) for job in many[number - 2 : number])):
                sizes.setdefault(process, []).append(resident_mib(process))

    thread = threading.Thread(target=sample)
    thread.start()
    execute(many, Local(workers=2), tmp_path)
    thread.join()
    assert all(is_finished(job.folder) for job in many)
    for seen in sizes.values():
        # 50 kB a run in a worker's allocator, of 490 MB.
        assert seen[-1] - seen[len(seen) // 4] < 25


def resident_mib(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
