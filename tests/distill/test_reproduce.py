"""`distill reproduce`: every experiment from its runs to its picture, resumed, shared and refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import small_games
from PIL import Image
from small_runs import SMALL

from distill import cli
from distill.loop import _Trainer
from distill.methods import METHODS
from distill.reproduce import EXPERIMENTS, fig5, table1
from distill.reproduce.methods import SHOWN, colour, entry


def words(name: str, folder: Path, *more: str) -> list[str]:
    # One seed has no interval, two have: both are drawn.
    seeds = "2" if name in ("table1", "fig5") else "1"
    small = SMALL if name not in EXPERIMENTS or EXPERIMENTS[name].task == "classification" else _games()
    shared = ["--recipe", "digits", *small, "--workers", "1"]
    return ["reproduce", name, *shared, "--seeds", seeds, "--out", str(folder), *more]


def _games() -> list[str]:
    """Return the flags of a small game but for the fraction of the images, which the tables vary."""
    pairs = zip(small_games.SMALL[::2], small_games.SMALL[1::2], strict=True)
    return [word for flag, value in pairs if flag != "--data.fraction" for word in (flag, value)]


def results(name: str, folder: Path) -> dict[str, Any]:
    return json.loads((folder / name / f"{name}.json").read_text())


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [each for inner in value.values() for each in numbers(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in numbers(inner)]
    return [value] if isinstance(value, float) else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all experiments of this file; those of a task share its runs."""
    return tmp_path_factory.mktemp("reproduce")


@pytest.mark.parametrize("name", [name for name, each in EXPERIMENTS.items() if each.task == "classification"])
def test_every_experiment_ends_with_a_picture_its_figures_and_a_table(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder / EXPERIMENTS[name].task
    assert cli.main(words(name, folder)) == 0
    printed = capsys.readouterr().out
    found = results(name, folder)
    assert found["command"].startswith(f"distill reproduce {name} --recipe digits")
    assert found["sentences"]
    assert all(sentence in printed for sentence in found["sentences"])
    assert EXPERIMENTS[name].title in " ".join(printed.split()), "the terminal may wrap it"
    assert numbers(found["figures"])
    picture = Image.open(folder / name / f"{name}.png").convert("L")
    darkest, lightest = picture.getextrema()
    assert min(picture.size) >= 300
    assert (darkest, lightest) != (255, 255), "a picture that shows nothing"


def test_experiments_share_the_runs_of_one_folder_and_a_finished_one_is_refused_until_resume_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(words("fig6", tmp_path)) == 0

    def refuse(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        raise AssertionError("fig7 needs no run that fig6 hasn't made")

    monkeypatch.setattr(_Trainer, "advance", refuse)
    assert cli.main(words("fig7", tmp_path)) == 0
    capsys.readouterr()
    assert cli.main(words("fig7", tmp_path)) == 2
    assert "--resume" in capsys.readouterr().err
    assert cli.main(words("fig7", tmp_path, "--resume")) == 0


def test_an_experiment_killed_in_the_middle_resumes_to_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    assert cli.main(words("fig6", tmp_path / "whole")) == 0
    advance = _Trainer.advance
    steps = 0

    def stop_or_advance(trainer: _Trainer, *, is_interrupted: bool) -> bool:
        nonlocal steps
        steps += 1
        if steps == 20:  # in the second of three runs
            raise Killed
        return advance(trainer, is_interrupted=is_interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(_Trainer, "advance", stop_or_advance)
        with pytest.raises(Killed):
            cli.main(words("fig6", tmp_path / "killed"))
    assert not (tmp_path / "killed" / "fig6" / "fig6.json").exists()
    assert cli.main(words("fig6", tmp_path / "killed", "--resume")) == 0
    assert results("fig6", tmp_path / "killed")["figures"] == results("fig6", tmp_path / "whole")["figures"]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["table7"], ["unknown experiment 'table7'", *EXPERIMENTS]),
        (["table1", "--recipe", "nope"], ["nope", "digits"]),
        (["table1", "--alpha", "0"], ["alpha"]),
        (["table1", "--seed", "3"], ["--seed"]),
        (["table1", "--seeds", "0"], ["--seeds"]),
        *((["table1", f"--{key}", "x"], [f"--{key}", "varies"]) for key in EXPERIMENTS["table1"].varied),
        *((["table4", f"--{key}", "x"], [f"--{key}", "varies"]) for key in EXPERIMENTS["table4"].varied),
        (["table4", "--fraction", "0.2"], ["--data.fraction", "varies"]),
    ],
)
def test_a_wrong_word_gives_one_sentence_and_leaves_nothing_behind(
    given: list[str],
    parts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reproduce", *given]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert all(part in captured.err for part in parts), captured.err
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_experiment_with_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "--help"])
    printed = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        assert f"{name:<18}{experiment.title}; {experiment.seeds} seeds" in printed
    assert "--parameterisation" in printed


def test_every_method_is_in_table_1_under_a_name_and_colour_of_its_own() -> None:
    assert set(SHOWN) == set(METHODS)
    assert len({shown for shown, _ in SHOWN.values()}) == len({colour for _, colour in SHOWN.values()}) == len(METHODS)
    for name, (shown, own) in SHOWN.items():
        assert colour(shown) == colour(entry(name, {"budget": "steps:1"}).name) == own
    assert {row["method"].split(", run")[0] for row in table1.PAPER} <= {shown for shown, _ in SHOWN.values()}


@pytest.mark.parametrize(
    ("long", "short"), [("steps:300", "steps:100"), ("epochs:100", "epochs:33"), ("steps:1", "steps:1")]
)
def test_the_short_schedule_is_a_third_of_the_recipes(long: str, short: str) -> None:
    assert fig5.short(long) == short
