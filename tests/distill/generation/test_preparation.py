"""What is seen to before a game begins: its teacher, its judge, and what it can't do, which is refused by name."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from image_folders import jpeg, write
from small_games import run_small, small

from distill.errors import MetricError, ModelError, RecipeError
from distill.generation import game_rules
from distill.generation.config import GenerationConfig
from distill.tasks.generation import Generation
from distill.train import teach
from stiefel.errors import MissingExtraError


def task(*flags: str) -> Generation:
    return Generation.untaught(small(*flags))


def test_a_run_without_distillation_needs_no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    flags = ["--teacher.name", "clip:nobody/nothing"]
    assert task("--method", "none", *flags).game.distillation is None
    with pytest.raises(ModelError, match="nobody/nothing"):
        task("--method", "vkd_whiten", *flags)


def test_recipes_whose_judges_differ_keep_them_apart(tmp_path: Path) -> None:
    for place, width in (("teacher-1", "4"), ("teacher-2", "5")):
        teach("generation", small("--method", "none", "--metrics.width", width), tmp_path / place)
    assert sorted(path.parent.name for path in tmp_path.glob("*/summary.json")) == ["judge-1", "judge-2"]


def test_what_a_teacher_and_a_judge_are_made_from_holds_every_key_of_their_images() -> None:
    config = small()
    assert isinstance(config, GenerationConfig)
    text = Generation.teacher_of(config)
    for keys in ({"image_size": 8}, {"mirror": True}, {"path": "elsewhere"}):
        assert Generation.teacher_of(replace(config, data=replace(config.data, **keys))) != text
    for keys in ({"fraction": 0.5}, {"batch_size": 16}, {"workers": 0}):
        assert Generation.teacher_of(replace(config, data=replace(config.data, **keys))) == text


def test_what_judging_needs_is_missed_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(MissingExtraError, match=r"stiefel-distill\[fid\]"):
        run_small(tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="nowhere"):
        run_small(tmp_path / "other", "--metrics.extractor", "inception", "--metrics.weights", "nowhere.pth")
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize(
    ("flags", "error", "says"),
    [
        (["--metrics.neighbours", "60"], MetricError, "expected 62 real images or more, got 40"),
        (["--metrics.neighbours", "60", "--metrics.samples", "61"], MetricError, "62 real images or more, got 61"),
        # An image of each of the ten digits: 6 equal parts can't be made of them.
        (["--data.batch_size", "12", "--scale.accumulate", "6", "--data.fraction", "0.001"], RecipeError, "the 10 "),
    ],
)
def test_too_few_images_are_refused_before_a_run_begins(
    flags: list[str], error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        run_small(tmp_path / "run", *flags)
    assert not list((tmp_path / "run").glob("*"))


def test_images_of_one_class_teach_no_classifier(tmp_path: Path) -> None:
    for number in range(25):
        write(tmp_path / "dog" / f"{number:02d}.jpg", jpeg(number))
    flags = ["--data.name", "folder", "--data.path", str(tmp_path), "--data.image_size", "8", "--data.fraction", "1"]
    with pytest.raises(RecipeError, match=r"metrics\.extractor.*inception for images of a single class"):
        task(*flags, "--data.workers", "0")
    judged = ["--metrics.extractor", "inception", "--metrics.weights", "nowhere", "--metrics.samples", "20"]
    with pytest.raises(RecipeError, match=r"teacher\.weights.*single class"):
        task(*flags, "--data.workers", "0", *judged, "--metrics.neighbours", "1")


def test_an_adaptive_share_needs_something_to_augment_by() -> None:
    config = small()
    assert isinstance(config, GenerationConfig)
    with pytest.raises(RecipeError, match=r"game\.augment"):
        game_rules.validate(replace(config, game=replace(config.game, adaptive=0.6, augment="")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("game.networks", "pix2pix"),
        ("game.augment", "rotation"),
        ("game.path", "2"),
        ("game.turns", "0"),
        ("scale.compile", "true"),
    ],
)
def test_what_a_game_cant_do_is_refused_by_its_key(key: str, value: str) -> None:
    with pytest.raises(RecipeError) as caught:
        small(f"--{key}", value)
    assert caught.value.key == key
