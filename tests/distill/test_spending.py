"""A run stops when its budget is spent, whatever the unit, and its charges add up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, figures, run_small
from torch import Tensor, nn

from distill import checkpoint
from distill.budget import STEPS, UNITS, meter, model
from distill.config import Optimiser
from distill.errors import RecipeError, StepMemoryError
from distill.loop import _Trainer, fit
from distill.metric import Metric
from distill.processes import Processes
from distill.run_folder import RunFolder, read_charges, read_summary
from distill.schedule import Schedule
from distill.task import Task

BUDGETS = {"steps": "steps:12", "epochs": "epochs:3", "flops": "flops:6e8", "wall": "wall:0.3s", "v100": "v100:0.01s"}


def test_there_is_a_budget_of_every_unit_here() -> None:
    assert tuple(BUDGETS) == UNITS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr("distill.loop.time.perf_counter", lambda: now[0])
    return now


class Slow(Task):
    """A task whose batch takes 1 s and whose evaluation 1000 s of a clock."""

    metric = Metric("closeness", "closeness")

    def __init__(self, clock: list[float], *, growing: bool = False):
        self.module = Product()
        self.kept, self.clock, self.growing = self.module, clock, growing

    @property
    def steps_per_epoch(self) -> int:
        return 1

    def batch(self, step: int) -> dict[str, Tensor]:
        self.clock[0] += 1.0
        return {"rows": torch.ones(16 if self.growing and step >= 4 else 8, 4)}

    def indices(self, step: int) -> list[int]:
        return [step]

    def evaluate(self) -> dict[str, float]:
        self.clock[0] += 1000.0
        return {"closeness": 0.0}


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": (batch["rows"] @ self.weight).pow(2).mean()}


def opened(folder: Path) -> RunFolder:
    run = RunFolder(folder, "slow: 1\n")
    run.open(resume=run.is_started)
    return run


def spend(amount: float, unit: str, task: Task, folder: Path) -> dict:
    schedule = Schedule(amount, Optimiser(name="sgd", weight_decay=0.0, clip_norm=0.0), evaluations=2, unit=unit)
    return fit(task, schedule, opened(folder), Processes())


@pytest.mark.parametrize("unit", UNITS)
def test_a_run_stops_with_the_step_that_spends_its_budget(unit: str, tmp_path: Path) -> None:
    summary = run_small(tmp_path / "run", "--budget", BUDGETS[unit], "--data.labels_per_class", "8")
    charges = read_charges(tmp_path / "run")
    if unit in ("steps", "epochs"):
        assert summary["steps"] == {"steps": 12, "epochs": 15}[unit]
        assert charges == []
        return
    amount = float(BUDGETS[unit].split(":")[1].rstrip("s"))
    total = sum((last - first + 1) * charge for first, last, charge in charges)
    assert total == pytest.approx(summary["spent"], rel=1e-9)  # a sum in another order
    assert amount <= total < amount + charges[-1][2]
    assert [first for first, _, _ in charges[1:]] == [last + 1 for _, last, _ in charges[:-1]]
    assert charges[-1][1] == summary["steps"]


def test_evaluation_is_charged_to_no_wall_budget(tmp_path: Path, clock: list[float]) -> None:
    summary = spend(7.0, "wall", Slow(clock), tmp_path)
    assert summary["steps"] == 7
    assert summary["spent"] == 7.0
    assert summary["evaluation_seconds"] == 2000.0


def test_a_flops_budget_charges_the_products_of_a_step(tmp_path: Path) -> None:
    # Forward X·W: 2·8·4·4. Backward Xᵀ·G: as much; X needs no gradient.
    summary = spend(10 * 512, "flops", Slow([0.0]), tmp_path)
    assert summary["steps"] == 10
    assert read_charges(tmp_path) == [[1, 5, 512], [6, 10, 512]]


def test_another_shape_is_another_price(tmp_path: Path) -> None:
    spend(4 * 512 + 2 * 1024, "flops", Slow([0.0], growing=True), tmp_path)
    assert [charge for _, _, charge in read_charges(tmp_path)] == [512, 1024]


def test_two_cards_for_an_hour_are_two_card_hours() -> None:
    class Two(Processes):
        world = 2  # pyright: ignore[reportAssignmentType]

    spending = meter.build("flops", {}, Two())
    with spending.watching({"rows": torch.ones(1)}):
        _ = torch.ones(2, 3) @ torch.ones(3, 4)
    spending.charge(1, 0.0)
    assert spending.spent == 2 * 2 * 2 * 3 * 4


def test_only_the_first_process_reads_the_clock() -> None:
    class Second(Processes):
        rank = 1  # pyright: ignore[reportAssignmentType]

    first, second = meter.WallMeter(Processes()), meter.WallMeter(Second())
    assert (first.reading(5.0), second.reading(5.0)) == (5.0, 0.0)
    for each in (first, second):
        each.charge(1, 5.0)
    assert first.spent == second.spent == 5.0
    assert first.reading(7.0) == 2.0


@pytest.mark.parametrize("unit", ["flops", "v100"])
def test_tracing_leaves_the_numbers_as_they_are(unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that traces its first step and then charges 1 must train as one that counts steps."""
    run_small(tmp_path / "counted")
    build = meter.build

    def traced(asked: str, parts: meter.Parts, processes: Processes) -> meter.Meter:
        assert asked == STEPS
        inner = build(unit, parts, processes)
        assert isinstance(inner, meter.TracedMeter)
        one = meter.TracedMeter(parts, lambda trace: 1 if inner.price(trace) > 0 else 0, processes=1)
        one.last = 1  # known before the first step, as it is to a meter of steps
        return one

    monkeypatch.setattr(meter, "build", traced)
    run_small(tmp_path / "traced")
    assert figures(tmp_path / "counted") == figures(tmp_path / "traced")


@pytest.mark.parametrize("unit", ["flops", "v100"])
def test_killed_and_resumed_gives_the_same_run_and_the_same_charges(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--budget", BUDGETS[unit]]
    whole = run_small(tmp_path / "whole", *flags)
    advance = _Trainer.advance

    def stop_or_advance(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        if trainer.schedule.unit == unit and trainer.step == whole["steps"] // 2 + 2:
            raise KeyboardInterrupt
        return advance(trainer, is_interrupted=is_interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "advance", stop_or_advance)
        with pytest.raises(KeyboardInterrupt):
            run_small(tmp_path / "killed", *flags)
    resumed = run_small(tmp_path / "killed", *flags, resume=True)
    assert figures(tmp_path / "whole") == figures(tmp_path / "killed")
    assert read_charges(tmp_path / "whole") == read_charges(tmp_path / "killed")
    assert (resumed["spent"], resumed["steps"]) == (whole["spent"], whole["steps"])


def test_a_wall_budget_goes_on_from_its_checkpoint(tmp_path: Path, clock: list[float]) -> None:
    class Stopping(Slow):
        def batch(self, step: int) -> dict[str, Tensor]:
            if step == 6:
                raise KeyboardInterrupt
            return super().batch(step)

    with pytest.raises(KeyboardInterrupt):
        spend(8.0, "wall", Stopping(clock), tmp_path)
    assert checkpoint.load(checkpoint.paths(tmp_path)[-1])["meter"]["spent"] == 4.0
    clock[0] += 1e6
    assert spend(8.0, "wall", Slow(clock), tmp_path)["steps"] == 8


def test_the_rate_falls_with_the_share_of_the_budget_that_is_spent() -> None:
    timed = Schedule(50.0, Optimiser(warmup=0.1), unit="wall")
    counted = Schedule(100, Optimiser(warmup=0.1))
    # Steps of half a second each: the same shares, the same rates.
    assert [timed.factor(step / 2, charge=0.5) for step in range(100)] == pytest.approx(
        [counted.factor(step) for step in range(100)], rel=1e-12
    )
    assert timed.factor(0.0, charge=0) == 0.0  # nobody knows the first step's price


@pytest.mark.parametrize("charge", [0.013, 0.7, 3.0, 40.0])
def test_a_run_is_evaluated_at_shares_of_its_budget_and_at_its_end(charge: float) -> None:
    schedule = Schedule(10.0, Optimiser(), evaluations=4, unit="wall")
    spent, at = 0.0, []
    while not schedule.is_over(spent):
        if schedule.is_evaluated(spent, spent + charge):
            at.append(spent + charge)
        spent += charge
    assert at[-1] == spent
    assert len(at) <= 4
    assert len(at) == 4 or charge > 10 / 4


def test_a_step_that_a_v100_has_no_memory_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "step_seconds", refuse(model.step_seconds))
    with pytest.raises(StepMemoryError, match=r"16 GB of a Tesla V100-SXM2-16GB.*holds 17 GB; lower data.batch_size"):
        run_small(tmp_path / "run", "--budget", "v100:1s")


def refuse(step_seconds):
    def refused(trace, sheet):
        trace.peak_bytes = 17 * 10**9
        return step_seconds(trace, sheet)

    return refused


def test_a_compiled_step_has_no_traced_budget(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="false with the budget v100:1m"):
        run_small(tmp_path / "run", "--budget", "v100:1m", "--scale.compile", "true")


def test_a_wall_budget_lasts_about_as_long_as_it_says(tmp_path: Path) -> None:
    run_small(tmp_path / "first", "--budget", "steps:2")  # trains the teacher
    started = time.perf_counter()
    summary = run_small(tmp_path / "run", "--budget", "wall:1s")
    assert 1.0 <= summary["spent"] <= summary["train_seconds"] + 1e-3 <= time.perf_counter() - started


def test_two_processes_stop_after_the_same_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distill", "train", "classification", "--run", str(tmp_path / "two"), *SMALL]
    command += ["--budget", BUDGETS["wall"], "--scale.devices", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # A process that went on alone would wait for the other for ever.
    subprocess.run(command, env=environment, timeout=120, check=True, capture_output=True)
    summary = read_summary(tmp_path / "two")
    assert summary["unit"] == "wall"
    assert summary["spent"] >= 0.3
