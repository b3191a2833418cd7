"""Executors by name: what each takes, how many runs fit a machine, when the last one will end."""

import heapq
import os
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from small_jobs import found, jobs
from small_runs import SMALL, small

from distill import cli, executors
from distill.config import Config
from distill.errors import JobsError, RunFolderError
from distill.executors import machine
from distill.executors.executor import execute
from distill.executors.local import Local
from distill.executors.pool import Pool
from distill.executors.slot import Slot, WorkerDiedError
from distill.executors.watch import Watch
from distill.executors.work import Work, in_two_waves, teachers
from distill.lock import locked
from distill.teacher import TeacherTraining

WORDS = ["compare", "classification", *SMALL, "--parameterisation", "cayley", "--seeds", "1"]
# Plain gradient descent at this rate overflows at once.
BROKEN = ["--optimiser.name", "sgd", "--optimiser.lr", "1e15"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--executor", "cloud"], f"unknown executor 'cloud'; choose one of {', '.join(executors.EXECUTORS)}"),
        (["--executor", "slurm", "--workers", "2"], "--workers is no option of --executor slurm"),
        (["--submit"], "--submit is no option of --executor local"),
        (["--executor", "slurm", "--retries", "1"], "--retries is no option of --executor slurm"),
        (["--ray-address", "auto"], "--ray-address is no option of --executor local"),
        (["--workers", "0"], "--workers"),
        (["--retries", "-1"], "--retries"),
    ],
)
def test_an_option_of_another_executor_is_refused(
    words: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*WORDS, *words, "--run", str(tmp_path / "run")]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("is_teacher", [False, True])
def test_work_travels_as_a_line(is_teacher: bool, tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, 1, "--alpha", "2", "--parameterisation", "qr")
    work = Work(job, is_teacher=is_teacher)
    assert "\n" not in work.to_line()
    assert Work.from_line(work.to_line()) == work


def test_a_run_that_fails_stops_no_other_and_all_failures_are_listed(tmp_path: Path) -> None:
    broken = jobs(tmp_path / "broken", 2, *BROKEN)
    whole = jobs(tmp_path / "whole", 1)
    with pytest.raises(JobsError, match="expected 3 finished runs, got 1") as error:
        execute([broken[0], whole[0], broken[1]], Local(workers=1), tmp_path)
    assert set(error.value.reasons) == {job.folder for job in broken}
    assert all("expected a finite loss" in reason for reason in error.value.reasons.values())
    assert len(str(error.value).splitlines()) == 3


def test_runs_whose_teacher_fails_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = jobs(tmp_path / "one", 2), jobs(tmp_path / "other", 2)
    done: list[Work] = []

    def do(works: list[Work]) -> dict[Path, str]:
        done.extend(works)
        return {one[0].teacher_folder: "broken"} if works[0].is_teacher else {}

    assert in_two_waves([*one, *other], do) == {one[0].teacher_folder: "broken"}
    assert done == [*teachers([*one, *other]), *map(Work, other)]


def test_runs_without_a_teacher_keep_the_other_workers_busy_while_it_is_trained(tmp_path: Path) -> None:
    taught, untaught = jobs(tmp_path / "one", 2), jobs(tmp_path / "other", 2, "--method", "none")
    waves: list[list[Work]] = []

    def do(works: list[Work]) -> dict[Path, str]:
        waves.append(works)
        return {}

    assert in_two_waves([*untaught, *taught], do) == {}
    assert waves == [[Work(taught[0], is_teacher=True), *map(Work, untaught)], [*map(Work, taught)]]


def test_what_is_done_is_not_done_again_and_another_recipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = jobs(tmp_path, 2)
    execute(few[:1], Local(workers=1), tmp_path)
    before = found(tmp_path)
    monkeypatch.setattr(TeacherTraining, "batch", None)
    execute(few, Local(workers=1), tmp_path)
    assert found(tmp_path).items() > before.items()
    with pytest.raises(RunFolderError, match="holds a run of another recipe"):
        execute(jobs(tmp_path, 2, "--alpha", "7"), Local(workers=1), tmp_path)


def test_two_commands_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.lock.locked", partial(locked, patience=0))
    with locked(tmp_path), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        execute(jobs(tmp_path, 1), Local(workers=1), tmp_path)


@pytest.mark.parametrize(
    ("flags", "cores", "expected"),
    [
        (["--threads", "1"], 2, 2),
        (["--threads", "2"], 9, 4),
        (["--threads", "8"], 2, 1),
        (["--threads", "0"], 16, 1),
        (["--threads", "1", "--scale.devices", "4"], 9, 2),
        (["--threads", "1", "--budget", "wall:10s"], 8, 1),
    ],
)
def test_a_machine_has_room_for_what_fits_its_cores(
    flags: list[str], cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: cores)
    assert machine.room([small(*flags)]) == expected


@pytest.mark.parametrize(
    ("device", "devices", "gpus", "expected"),
    [("cuda", 1, 8, 8), ("cuda", 4, 8, 2), ("cuda", 4, 3, 1), ("cuda:1", 1, 8, 1)],
)
def test_a_machine_has_room_for_what_fits_its_gpus(
    device: str, devices: int, gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))
    assert machine.room([on(device, devices)]) == expected


def test_a_grid_that_varies_what_a_run_takes_has_room_for_the_most_demanding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: 8)
    one = small("--threads", "1")
    assert machine.room([one, small("--threads", "3")]) == 2
    assert machine.room([one, small("--threads", "1", "--budget", "wall:10s")]) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    seen = machine.environments(2, [on("cuda", 1), on("cuda", 2)])
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["0,1", "0,1"]
    # A run of several processes starts the others by this process's own command line: it needs a worker.
    ways = []
    monkeypatch.setattr("distill.executors.local.in_two_waves", lambda jobs, do: ways.append(do) or {})
    several = [*jobs(tmp_path, 1), *jobs(tmp_path, 1, "--scale.devices", "2")]
    Local(workers=1).run(several, tmp_path)
    assert isinstance(ways[0].__self__, Pool)


def test_every_run_s_last_words_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(slot: Slot) -> None:
        raise WorkerDiedError("was killed by SIGKILL", "last words")

    monkeypatch.setattr(Slot, "start", die)
    (job,) = jobs(tmp_path, 1)
    several = [replace(job, folder=tmp_path / "tuning" / name / "best-5" / "lr-0.1") for name in ("cayley", "qr")]
    with Pool(machine.environments(1, [job.config]), 0, tmp_path) as pool:
        assert len(pool.perform([Work(each) for each in several])) == 2
    logs = [f"tuning-{name}-best-5-lr-0.1.log" for name in ("cayley", "qr")]
    assert sorted(path.name for path in (tmp_path / "failed").iterdir()) == logs


def on(device: str, devices: int) -> Config:
    """Return a recipe for GPUs, which this machine needn't have."""
    return replace(small("--scale.devices", str(devices)), device=device)


def test_each_worker_sees_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,GPU-a")
    seen = [each["CUDA_VISIBLE_DEVICES"] for each in machine.environments(3, [on("cuda", 2)])]
    assert seen == ["4,5", "6,7", "4,5"]


def test_workers_share_the_cores_where_a_recipe_leaves_threads_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert {each["OMP_NUM_THREADS"] for each in machine.environments(3, [small("--threads", "0")])} == {"2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert {each["OMP_NUM_THREADS"] for each in machine.environments(3, [small("--threads", "0")])} == {"5"}


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_the_time_left_is_right_when_runs_take_about_as_long(slots: int, tmp_path: Path) -> None:
    # Runs of 90 to 110 s, the first on each slot 30 s longer, played back to a watch with a clock of its own.
    chance, now, advanced = random.Random(0), 0.0, []
    works = [Work(job) for job in jobs(tmp_path, 60)]
    watch = Watch(len(works), slots, advance=lambda: advanced.append(now), clock=lambda: now)
    assert watch.seconds_left is None
    queue = list(reversed(works))
    running: list[tuple[float, int, Work]] = []

    def begin(longer: float) -> None:
        work = queue.pop()
        watch.start(work)
        heapq.heappush(running, (now + longer + chance.uniform(90, 110), work.job.config.seed, work))

    for _ in range(slots):
        begin(longer=30)
    told = []
    while running:
        now, _, work = heapq.heappop(running)
        watch.end(work)
        if queue:
            begin(longer=0)
        told.append((now, watch.seconds_left))
    assert len(advanced) == len(works)
    for moment, seconds in told[len(told) // 4 :]:
        # Of the last wave nothing is known but that it takes a run's time; elsewhere the mean is off by 2 %.
        assert seconds == pytest.approx(now - moment, rel=0.1, abs=25)


def test_the_registry_is_what_the_help_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ", ".join(executors.EXECUTORS) in said


def test_a_comparison_by_workers_is_told_apart_by_nothing(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        words = [*WORDS, "--budget", "steps:3", "--run", str(tmp_path / workers), "--workers", workers]
        assert cli.main([*words, "--threads", "1"]) == 0
    assert found(tmp_path / "1") == found(tmp_path / "2")
