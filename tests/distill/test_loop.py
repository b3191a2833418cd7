"""`fit` trains any task, keeps the folder's promises and stops where going on is senseless."""

import json
import math
import os
import signal
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small_runs import figures, run_small, small
from torch import Tensor, nn

import stiefel
from distill import checkpoint, projector
from distill.config import Optimiser
from distill.errors import InterruptedRunError, NonFiniteLossError, RunFolderError
from distill.loop import fit
from distill.metric import Metric
from distill.processes import Processes
from distill.run_folder import RunFolder
from distill.schedule import Schedule
from distill.task import Task


class Quadratic(nn.Module):
    """The squared distance of a weight from the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((4, 4), 2.0))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": (self.weight - batch["target"]).pow(2).mean()}


class Toy(Task):
    """A task without data; `before(step)` runs before each batch and may misbehave."""

    metric = Metric("closeness", "closeness")

    def __init__(self, before: Callable[[int], float] = lambda step: 0.0):
        self.module, self.before, self.evaluated = Quadratic(), before, 0
        self.kept = self.module

    @property
    def steps_per_epoch(self) -> int:
        return 1

    def batch(self, step: int) -> dict[str, Tensor]:
        return {"target": torch.full((4, 4), self.before(step))}

    def indices(self, step: int) -> list[int]:
        return [step, step + 1]

    def evaluate(self) -> dict[str, float]:
        self.evaluated += 1
        return {"closeness": -float(self.module.weight.detach().abs().max())}


SCHEDULE = Schedule(20, Optimiser(name="sgd", lr=0.1, weight_decay=0.0), evaluations=4)


def opened(folder: Path) -> RunFolder:
    run = RunFolder(folder, "toy: 1\n")
    run.open(resume=run.is_started)
    return run


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine_to_a_hundredth() -> None:
    schedule = Schedule(100, Optimiser(warmup=0.1))
    rates = [2.0 * schedule.factor(step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)], rel=1e-12)
    assert rates[10] == pytest.approx(2.0, rel=1e-12)
    assert rates[55] == pytest.approx((2.0 + 0.02) / 2, rel=1e-12)
    assert rates[100] == pytest.approx(0.02, rel=1e-12)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


@pytest.mark.parametrize(("steps", "evaluations"), [(20, 4), (23, 4), (3, 20), (1, 1), (600, 20)])
def test_a_run_is_evaluated_as_often_as_announced_and_at_its_end(steps: int, evaluations: int) -> None:
    schedule = Schedule(steps, Optimiser(), evaluations)
    evaluated = [step for step in range(1, steps + 1) if schedule.is_evaluated(step - 1, step)]
    assert evaluated[-1] == steps
    assert min(steps, evaluations) <= len(evaluated) <= min(steps, evaluations + 1)


def test_a_finished_folder_holds_what_a_run_promises(tmp_path: Path) -> None:
    task = Toy()
    summary = fit(task, SCHEDULE, opened(tmp_path), Processes())
    assert {entry.name for entry in tmp_path.iterdir()} == {
        *("config.yaml", "environment.json", "metrics.jsonl", "certificate.json", "summary.json", "checkpoints")
    }
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert task.evaluated == 4
    assert lines[-1]["closeness"] == summary["closeness"] > lines[0]["closeness"]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert [path.name for path in checkpoint.paths(tmp_path)] == ["step-00000015.pt", "step-00000020.pt"]
    assert "torch" in json.loads((tmp_path / "environment.json").read_text())["packages"]


def test_evaluation_is_off_the_training_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("distill.loop.time.perf_counter", lambda: now[0])

    class Slow(Toy):
        def batch(self, step: int) -> dict[str, Tensor]:
            now[0] += 1.0
            return super().batch(step)

        def evaluate(self) -> dict[str, float]:
            now[0] += 1000.0
            return super().evaluate()

    assert fit(Slow(), SCHEDULE, opened(tmp_path), Processes())["train_seconds"] == 20.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_checkpoint(value: float, tmp_path: Path) -> None:
    said = r"at step 12, on training examples 12, 13; .*step-00000010\.pt"
    with pytest.raises(NonFiniteLossError, match=said) as caught:
        fit(Toy(lambda step: value if step == 12 else 0.0), SCHEDULE, opened(tmp_path), Processes())
    assert caught.value.step == 12
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("by", stiefel.names())
def test_a_diverging_run_stops_with_its_step_whatever_the_parameterisation(by: str, tmp_path: Path) -> None:
    flags = ["--parameterisation", by, "--optimiser.lr", "1e15", "--optimiser.name", "sgd"]
    with pytest.raises(NonFiniteLossError, match=r"at step \d+"):
        run_small(tmp_path / "run", *flags)


def test_ctrl_c_ends_the_step_writes_a_checkpoint_and_the_run_goes_on_from_there(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupt(step: int) -> float:
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return 0.0

    with pytest.raises(InterruptedRunError, match=r"step 8.*--resume"):
        fit(Toy(interrupt), SCHEDULE, opened(tmp_path / "one"), Processes())
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint.paths(tmp_path / "one")[-1].name == "step-00000008.pt"
    resumed = fit(Toy(), SCHEDULE, opened(tmp_path / "one"), Processes())
    whole = fit(Toy(), SCHEDULE, opened(tmp_path / "two"), Processes())
    assert resumed["closeness"] == whole["closeness"]
    assert figures(tmp_path / "one") == figures(tmp_path / "two")


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    def interrupt(step: int) -> float:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        fit(Toy(interrupt), SCHEDULE, opened(tmp_path), Processes())


def test_fit_works_off_the_main_thread(tmp_path: Path) -> None:
    found = {}
    worker = threading.Thread(target=lambda: found.update(fit(Toy(), SCHEDULE, opened(tmp_path), Processes())))
    worker.start()
    worker.join()
    assert found["steps"] == 20


def test_a_folder_with_a_run_is_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    run = opened(tmp_path)
    with pytest.raises(RunFolderError, match="unfinished run; add --resume"):
        run.open(resume=False)
    fit(Toy(), SCHEDULE, run, Processes())
    with pytest.raises(RunFolderError, match="finished run; add --resume"):
        run.open(resume=False)
    with pytest.raises(RunFolderError, match="'toy: 1', now 'toy: 2'"):
        RunFolder(tmp_path, "toy: 2\n").open(resume=True)
    with pytest.raises(RunFolderError, match="'nothing', now 'more: 1'"):
        RunFolder(tmp_path, "toy: 1\nmore: 1\n").open(resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_left_alone(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="no run"):
        RunFolder(tmp_path, "toy: 1\n").open(resume=resume)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunFolderError):
            RunFolder(path, "toy: 1\n").open(resume=False)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="name too long"):
        RunFolder(tmp_path / ("n" * 300), "toy: 1\n").open(resume=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    run = opened(tmp_path)
    said = r"can't be written \(No space left on device\).*--resume"
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=said):
        run.log({"step": 1})
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / ".summary.json.tmp").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=said):
        fit(Toy(), SCHEDULE, run, Processes())
    (tmp_path / ".summary.json.tmp").unlink()
    fit(Toy(), SCHEDULE, opened(tmp_path), Processes())
    assert len(figures(tmp_path)) == 4


@pytest.mark.parametrize("name", projector.names())
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_projector_trains_in_every_precision(name: str, precision: str, tmp_path: Path) -> None:
    summary = run_small(tmp_path / "run", "--projector", name, "--precision", precision)
    assert 0 <= summary["accuracy"] <= 1
    assert ("defect" in summary) == (name == "orthogonal")


@pytest.mark.parametrize("by", stiefel.names())
def test_the_projector_stays_orthonormal_through_training_in_low_precision(by: str, tmp_path: Path) -> None:
    summary = run_small(tmp_path / "run", "--parameterisation", by, "--precision", "bfloat16")
    width = small().teacher.width * 4
    assert summary["defect"] <= stiefel.get(by).claims.residual * width * torch.finfo(torch.float32).eps


@pytest.mark.parametrize(
    ("alpha", "gamma", "parts"),
    [
        ("0", "0", set()),
        ("1", "0", {"feature_loss"}),
        ("0", "1", {"teacher_label_loss"}),
        ("1", "1", {"feature_loss", "teacher_label_loss"}),
    ],
)
def test_each_part_of_the_loss_works_without_the_others(
    alpha: str, gamma: str, parts: set[str], tmp_path: Path
) -> None:
    run_small(tmp_path / "run", "--alpha", alpha, "--gamma", gamma)
    record = figures(tmp_path / "run")[-1]
    assert {key for key in record if key.endswith("_loss")} == {"label_loss", "test_loss", *parts}


def test_another_seed_is_another_run_and_the_same_seed_the_same(tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        run_small(tmp_path / name, "--seed", seed)
    assert figures(tmp_path / "a") == figures(tmp_path / "b") != figures(tmp_path / "c")


def test_the_teacher_is_trained_once_and_a_stale_one_is_refused(tmp_path: Path) -> None:
    run_small(tmp_path / "a")
    stamp = (tmp_path / "teacher" / "summary.json").stat().st_mtime_ns
    run_small(tmp_path / "b", "--seed", "1", "--alpha", "3", "--data.labels_per_class", "5")
    assert (tmp_path / "teacher" / "summary.json").stat().st_mtime_ns == stamp
    with pytest.raises(RunFolderError, match=r"teacher holds a run of another recipe \('width: 4', now 'width: 5'\)"):
        run_small(tmp_path / "c", "--teacher.width", "5")
