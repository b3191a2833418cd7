"""`distill compare`: same start, same batches, one table, one page; what was run isn't run again."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import SMALL

from distill import cli
from distill.checkpoint import load, paths

COMPARE = ["compare", "classification", "--recipe", "digits", *SMALL, "--workers", "1"]
WORDS = [*COMPARE, "--parameterisation", "cayley,riemannian"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "run"
    assert cli.main([*WORDS, "--seeds", "2", "--run", str(folder)]) == 0
    return folder


def figures(folder: Path) -> dict[str, list[tuple[float, float]]]:
    methods = json.loads((folder / "comparison.json").read_text())["methods"]
    return {name: [(run["accuracy"], run["test_loss"]) for run in runs] for name, runs in methods.items()}


def test_every_method_has_every_seed_and_the_page_shows_all(finished: Path) -> None:
    assert list(figures(finished)) == ["no distillation", "linear", "cayley", "riemannian"]
    assert {len(runs) for runs in figures(finished).values()} == {2}
    page = (finished / "report.html").read_text()
    assert all(name in page for name in figures(finished))


def test_an_interrupted_comparison_resumes_to_the_same_figures(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    for lost in ("summary.json", "comparison.json", "report.html", "runs/cayley/seed-1/summary.json"):
        (copy / lost).unlink()
    shutil.rmtree(copy / "runs/riemannian/seed-1")
    assert cli.main([*WORDS, "--seeds", "2", "--run", str(copy), "--resume"]) == 0
    assert figures(copy) == figures(finished)


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


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--parameterisation", "cayley,foo"], "unknown parameterisation 'foo'"),
        (["--alpha", "0"], "alpha"),
        (["--seeds", "0"], "--seeds"),
        (["--seed", "3"], "--seed"),
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
