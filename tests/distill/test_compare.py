"""`distill compare`: same start, same batches, one table, one page; what was run isn't run again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL, Killed, small

from distill import cli, lock, tuning
from distill import compare as comparing
from distill import train as training
from distill.checkpoint import load, paths
from distill.compare import compare
from distill.errors import CollapsedRunError, DataError, JobsError, NonFiniteLossError, RunFolderError
from distill.executors.local import Local
from distill.grid import Entry, parse
from distill.jobs import Job
from distill.lock import locked
from distill.report.table import table
from distill.results import BASELINE, Comparison
from distill.run_folder import RunFolder
from distill.schedule import Schedule

COMPARE = ["compare", "classification", "--recipe", "digits", *SMALL, "--workers", "1"]
WORDS = [*COMPARE, "--parameterisation", "cayley,riemannian"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "run"
    assert cli.main([*WORDS, "--seeds", "2", "--latex", "--run", str(folder)]) == 0
    return folder


def figures(folder: Path) -> dict[str, list[tuple[float, float]]]:
    methods = json.loads((folder / "comparison.json").read_text())["methods"]
    return {name: [(run["accuracy"], run["test_loss"]) for run in method["runs"]] for name, method in methods.items()}


def test_every_method_has_every_seed_and_the_page_shows_all(finished: Path) -> None:
    assert list(figures(finished)) == ["no distillation", "linear", "cayley", "riemannian"]
    assert {len(runs) for runs in figures(finished).values()} == {2}
    assert not (finished / "checkpoints").exists(), "a comparison has none of its own"
    page = (finished / "report.html").read_text()
    assert all(name in page for name in figures(finished))
    assert len((finished / "comparison.csv").read_text().splitlines()) == 1 + 4 * 2


def test_the_same_comparison_again_is_the_same_table(finished: Path, tmp_path: Path) -> None:
    assert cli.main([*WORDS, "--seeds", "2", "--latex", "--run", str(tmp_path / "run")]) == 0
    before, after = ((folder / "table.tex").read_text().splitlines() for folder in (finished, tmp_path / "run"))
    assert before[1:] == after[1:]  # the first line is the command, with its folder
    assert r"\toprule" in before


def test_an_interrupted_comparison_resumes_to_the_same_figures(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    lines = (copy / "table.tex").read_text().splitlines()
    for lost in ("summary.json", "comparison.json", "report.html", "table.tex", "runs/cayley/seed-1/summary.json"):
        (copy / lost).unlink()
    shutil.rmtree(copy / "runs/riemannian/seed-1")
    assert cli.main([*WORDS, "--seeds", "2", "--latex", "--run", str(copy), "--resume"]) == 0
    assert figures(copy) == figures(finished)
    assert (copy / "table.tex").read_text().splitlines()[1:] == lines[1:]


def test_another_comparison_is_told_by_what_differs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*WORDS, "--seeds", "3", "--run", str(finished), "--resume"]) == 2
    assert "('seeds: [0, 1]', now 'seeds: [0, 1, 2]')" in capsys.readouterr().err


def test_a_comparison_that_begins_where_another_one_does_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "locked", lambda folder, *, patience=0: locked(folder, patience=0))
    with locked(tmp_path), pytest.raises(RunFolderError, match="is being written by process"):
        small_comparison(tmp_path, "--projector", "linear")
    assert [path.name for path in tmp_path.iterdir()] == [lock.LOCK]


def small_comparison(folder: Path, *keys: str, tunes_rate: bool = False, resume: bool = False) -> Comparison:
    pairs = zip(SMALL[::2], SMALL[1::2], strict=True)  # a key that is given twice would span a grid
    others = [word for flag, value in pairs if flag not in keys for word in (flag, value)]
    config, methods = parse("classification", "digits", [*others, *keys])
    options: dict[str, Any] = {
        "command": ["distill"],
        "executor": Local(workers=1),
        "tunes_rate": tunes_rate,
        "resume": resume,
    }
    return compare("classification", "digits", config, methods, range(1), folder, **options)


def rates(comparison: Comparison) -> dict[str, list[tuple[float, str, float]]]:
    return {
        method.name: [(trial.rate, trial.budget, trial.value) for trial in method.tuning.trials]
        for method in comparison.methods
        if method.tuning
    }


def test_rates_are_tuned_within_a_run_s_budget_and_a_killed_tuning_comes_to_the_same(tmp_path: Path) -> None:
    keys = ["--projector", "linear", "--budget", "steps:90", "--evaluations", "2"]
    whole = small_comparison(tmp_path / "whole", *keys, tunes_rate=True)
    assert list(rates(whole)) == [BASELINE, "linear"]
    for method in whole.methods:
        assert method.tuning is not None
        assert method.tuning.steps == 90
        assert method.tuning.seed == 1
        budgets = [trial.budget for trial in method.tuning.trials]
        assert budgets == [*["steps:6"] * 5, *["steps:10"] * 3, *["steps:15"] * 2]
        best = max(method.tuning.trials[-2:], key=lambda trial: trial.value)
        assert method.tuning.rate == best.rate
        config = (tmp_path / "whole" / "runs" / method.name.replace(" ", "-") / "seed-0" / "config.yaml").read_text()
        assert f"lr: {best.rate}" in config

    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "whole", killed)
    shutil.rmtree(killed / "runs")
    shutil.rmtree(killed / "tuning" / "linear" / "best-2")
    for lost in ("summary.json", "tuning/linear/best-3/lr-0.01/summary.json"):
        (killed / lost).unlink()
    again = small_comparison(killed, *keys, tunes_rate=True, resume=True)
    assert rates(again) == rates(whole)
    assert table(again).rows == table(whole).rows


@pytest.mark.parametrize(
    "error", [NonFiniteLossError(3, {"loss": float("nan")}, [1], None), CollapsedRunError(3, "a silent player", None)]
)
def test_a_rate_that_diverges_is_out_for_good_and_ties_go_to_the_recipe_s_own(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(task: Any, schedule: Schedule, run: RunFolder, processes: Any) -> dict[str, Any]:
        if schedule.optimiser.lr > 0.05:
            raise error
        summary = {"accuracy": 0.5, "steps": 1, "train_seconds": 1.0}
        run.finish(summary)
        return summary

    entry, teachers = Entry("linear", {}), {"linear": tmp_path / "teacher"}
    for fit in (fitted, None):  # the second time everything is known
        monkeypatch.setattr(training, "fit", fit)
        found = tuning.tune("classification", small(), [entry], 5, tmp_path, teachers, Local(workers=1))["linear"]
        assert found.rate == small().optimiser.lr
        assert [trial.rate for trial in found.trials if trial.value != trial.value] == [0.1]
        assert [trial.rate for trial in found.trials[-2:]] == [0.01, 0.0316228]


def test_a_trial_that_fails_for_another_reason_stops_the_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*rest: Any) -> None:
        raise DataError("there", "images", "none", cure="look")

    monkeypatch.setattr(training, "fit", refused)
    entry, teachers = Entry("linear", {}), {"linear": tmp_path / "teacher"}
    with pytest.raises(JobsError, match=r"expected 5 finished runs, got 0.*\n.*expected images, got none"):
        tuning.tune("classification", small(), [entry], 5, tmp_path, teachers, Local(workers=1))


def test_teachers_that_differ_have_folders_of_their_own(tmp_path: Path) -> None:
    found = small_comparison(tmp_path / "run", "--teacher.width", "4,8", "--projector", "linear")
    assert [method.name for method in found.methods] == [BASELINE, "width 4", "width 8"]
    first, second = ((tmp_path / "run" / f"teacher-{number}" / "config.yaml").read_text() for number in (1, 2))
    assert "width: 4" in first
    assert "width: 8" in second


def test_every_job_is_known_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(jobs: list[Job], executor: Local, folder: Path) -> None:
        assert [(job.config.seed, job.folder.parent.name) for job in jobs] == [(0, "no-distillation"), (0, "linear")]
        assert {job.teacher_folder for job in jobs} == {folder / "teacher"}
        raise Killed

    monkeypatch.setattr(comparing, "execute", given)
    with pytest.raises(Killed):
        small_comparison(tmp_path / "run", "--projector", "linear,linear")


def test_methods_of_one_seed_start_from_the_same_weights(tmp_path: Path) -> None:
    starts = []
    for keys in (["--alpha", "0"], ["--projector", "linear"], ["--parameterisation", "qr"]):
        folder = tmp_path / keys[1]
        words = ["train", "classification", *SMALL, *keys, "--optimiser.lr", "1e-30", "--optimiser.weight_decay", "0"]
        assert cli.main([*words, "--run", str(folder)]) == 0
        weights = load(paths(folder)[-1])["module"]
        starts.append({name: value for name, value in weights.items() if name.startswith("student.")})
    for start in starts[1:]:
        # The optimiser moves a bias that starts at 0 by 1e-30 a step.
        assert all((value - starts[0][name]).abs().max() <= 1e-28 for name, value in start.items())


@pytest.mark.nightly
def test_the_processes_of_a_launcher_compare_together(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "--", "distill"]
    words = ["compare", "classification", *SMALL, "--projector", "linear", "--seeds", "1", "--run", tmp_path / "run"]
    assert subprocess.run([*launcher, *words], capture_output=True, timeout=500, check=False).returncode == 0
    assert list(figures(tmp_path / "run")) == [BASELINE, "linear"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--parameterisation", "cayley,foo"], "unknown parameterisation 'foo'"),
        (["--alpha", "0"], "alpha"),
        (["--seeds", "0"], "--seeds"),
        (["--seed", "3"], "--seed"),
        (["--calibration", "nowhere.json"], "nowhere.json"),
        (["--optimiser.lr", "1e-3,1e-2", "--tune-lr"], "--tune-lr"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    words: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", "classification", *words, "--run", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
