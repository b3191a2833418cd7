"""`distill train` and `distill evaluate`: results on standard output, one sentence for anything a user got wrong."""

import json
import os
import signal
from argparse import Namespace
from pathlib import Path

import pytest
from small_runs import SMALL

from distill import cli, tasks
from distill.cli import options
from distill.loop import _Trainer
from distill.recipe import recipes


def train(*words: str) -> int:
    return cli.main(["train", "classification", "--recipe", "digits", *SMALL, *words])


def assert_one_sentence(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("distill: ")
    assert captured.err.count("\n") == 1
    assert all(part in captured.err for part in parts), captured.err


def test_train_then_evaluate_gives_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--run", str(tmp_path / "run")) == 0
    assert str(tmp_path / "run") in capsys.readouterr().out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(printed["accuracy"]) == pytest.approx(summary["accuracy"], rel=1e-3)  # four digits are printed
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_is_evaluated_without_its_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--run", str(tmp_path / "run"))
    (tmp_path / "run" / "teacher").rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert not (tmp_path / "run" / "teacher").exists()


def test_a_recipe_of_ones_own_is_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("alpha: 0\n")
    words = ["train", "classification", "--recipe", str(recipe), *SMALL, "--run", str(tmp_path / "run")]
    assert cli.main(words) == 0
    assert "alpha: 0.0" in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_task_without_a_recipe_takes_one_of_its_own(task: str) -> None:
    asked, kind = Namespace(recipe=None), tasks.get(task)
    assert options.recipe_and_name(asked, task) == (kind.recipe, kind.recipe)
    assert kind.recipe in recipes(task)


def test_folders_are_named_after_the_whole_recipe_or_its_file() -> None:
    """Without its folder, cifar10/20 and cifar100/20 would share one."""
    for recipe, name in (("cifar10/20", "cifar10-20"), ("some/where/mine.yaml", "mine")):
        assert options.recipe_and_name(Namespace(recipe=recipe), "generation") == (recipe, name)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["COMMAND"]),
        (["trian"], ["trian", "train"]),
        (["train"], ["task"]),
        (["train", "clasification"], ["clasification", *tasks.TASKS]),
        (["train", "classification", "--recipe", "nope"], ["nope", *recipes("classification")]),
        (["train", "classification", "--projector", "lienar"], ["projector", "lienar", "linear, mlp, orthogonal"]),
        (["train", "classification", "--parameterisation", "caley"], ["caley", "cayley, dense_exponential"]),
        (["train", "classification", "--parameterisation", "os:getcwd"], ["os:getcwd", "Parameterisation"]),
        (["train", "classification", "--gama", "1"], ["gama", "gamma"]),
        (["train", "classification", "--alpha", "lots"], ["alpha", "lots", "number"]),
        (["train", "classification", "--seed", "-3"], ["seed", "-3"]),
        (["train", "classification", "--budget", "days:3"], ["days:3", "steps:N"]),
        (["train", "classification", "--device", "abacus"], ["device", "abacus"]),
        (["train", "classification", "--device", "meta"], ["device", "meta"]),
        (["train", "classification", "--device", "cpu:1"], ["device", "cpu:1"]),
        (["train", "classification", "--student.patch", "3"], ["student.patch", "3"]),
        (["train", "classification", "--data.labels_per_class", "500"], ["data.labels_per_class", "500"]),
        (["train", "classification", "--data.name", "mnist"], ["data.name", "mnist", "digits"]),
        (["evaluate", "/nonexistent"], ["/nonexistent"]),
        (["evaluate", "run", "--gama"], ["--gama"]),
        (["sample", "run", "--out", "grid"], ["grid", ".png"]),
    ],
)
def test_a_wrong_word_gives_one_sentence_and_exit_code_2(
    words: list[str],
    parts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert_one_sentence(capsys, *parts)
    assert list(tmp_path.iterdir()) == [], "a refused command leaves nothing behind"


def test_a_folder_with_a_run_is_refused_until_resume_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", str(tmp_path / "run")]
    assert train(*words) == 0
    capsys.readouterr()
    assert train(*words) == 2
    assert_one_sentence(capsys, "finished", "--resume")
    assert train(*words, "--resume") == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_diverging_run_gives_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--run", str(tmp_path / "run"), "--optimiser.lr", "1e30", "--optimiser.name", "sgd") == 2
    assert_one_sentence(capsys, "step", "finite loss")


def test_ctrl_c_says_how_to_go_on_and_exits_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = _Trainer.advance

    def interrupted(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        if trainer.step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(trainer, is_interrupted=is_interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "advance", interrupted)
        assert train("--run", str(tmp_path / "run")) == 130
    assert_one_sentence(capsys, "step 7", "--resume", str(tmp_path / "run"))
    assert train("--run", str(tmp_path / "run"), "--resume") == 0


def test_ctrl_c_outside_of_training_says_how_to_go_on_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*rest: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("distill.cli.train.train", interrupted)
    monkeypatch.setattr("distill.cli.evaluate.read_summary", interrupted)
    assert train("--run", "run") == 130
    assert_one_sentence(capsys, "interrupted; the same command with --resume goes on")
    assert cli.main(["evaluate", "run"]) == 130
    assert capsys.readouterr().err == "distill: interrupted\n"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "--help"]])
def test_help_exits_well(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 0
    assert "usage: distill" in capsys.readouterr().out
