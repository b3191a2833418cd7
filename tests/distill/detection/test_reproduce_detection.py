"""Tables 2 and 3 from their runs to their pictures, and what they would run on COCO."""

import json
from pathlib import Path

import pytest
from PIL import Image
from small_detections import flags

from distill import cli, recipe
from distill.config import changed
from distill.detection.config import DetectionConfig
from distill.reproduce import EXPERIMENTS, RECIPES, table2, table3
from distill.reproduce.detections import SHOWN

NAMES = ["table2", "table3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for both, which share its runs."""
    return tmp_path_factory.mktemp("reproduce")


@pytest.mark.parametrize("name", NAMES)
def test_each_table_ends_with_a_picture_its_figures_and_sentences(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Last words count: teacher and student differ, as table 3 takes one of either kind.
    models = ["--teacher.name", "vidt_mini", "--student.name", "vidt_pico"]
    cut = [*flags(), *models, "--budget", "steps:2", "--evaluations", "1"]
    seeds = "2" if name == "table2" else "1"  # an interval and none are both drawn
    words = ["reproduce", name, "--recipe", "scenes", *cut, "--seeds", seeds, "--out", str(folder / name)]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    found = json.loads((folder / name / name / f"{name}.json").read_text())
    runs = {"table2": 3, "table3": 5}[name]
    assert len(found["figures"]["methods"]) == runs
    assert len(found["sentences"]) == runs - 1
    assert all(sentence in printed for sentence in found["sentences"])
    with Image.open(folder / name / name / f"{name}.png") as picture:
        assert min(picture.size) >= 200


def coco() -> DetectionConfig:
    config = recipe.load("detection", RECIPES["detection"]["coco"], ["--device", "cpu", "--precision", "float32"])
    assert isinstance(config, DetectionConfig)
    return config


def test_table_2_compares_three_methods_of_three_students_on_coco() -> None:
    entries = table2.needed(coco())
    configs = [changed(coco(), entry.keys) for entry in entries]
    students = {(config.student.name, config.student.weights) for config in configs}
    assert {name for name, _ in students} == {"vidt_nano", "vidt_tiny", "vidt_small"}
    assert len(students) == 3
    assert len(entries) == 9
    assert {entry.over for entry in entries} <= {entry.name for entry in entries}
    assert len({(config.teacher.name, config.teacher.weights) for config in configs}) == 1


def test_table_3_compares_two_teachers_of_one_student_on_coco() -> None:
    entries = table3.needed(coco())
    configs = [changed(coco(), entry.keys) for entry in entries]
    assert len(entries) == 5
    assert {config.teacher.name for config in configs if config.alpha} == {"vidt_small", "vidt_base"}
    assert {entry.over for entry in entries} == {SHOWN["none"][0]}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_table_varies_cant_be_given(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "learned_from" in EXPERIMENTS[name].varied
    assert cli.main(["reproduce", name, "--recipe", "scenes", "--learned_from", "tokens"]) == 2
    assert "learned_from" in capsys.readouterr().err
