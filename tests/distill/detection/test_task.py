"""Detection runs: every method trains, resumes, evaluates, and learns the same in one process and two."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_detections import few_scenes, flags, run_small, small
from small_runs import figures, killed

from distill import cli, recipe
from distill.checkpoint import load, paths
from distill.detection.config import METHODS
from distill.detection.data import scenes
from distill.detection.data.coco import read_parts
from distill.detection.evaluation import best, evaluate, judge
from distill.detection.models import DETECTORS, Detections, build, save
from distill.detection.models.config import PRESETS
from distill.detection.models.vidt import Vidt
from distill.errors import DistillError, RecipeError
from distill.learner import split
from distill.processes import Processes
from distill.run_folder import read_summary
from distill.tasks.detection import Detection

# Two processes and one add the same numbers in another order; a few steps of AdamW carry it on.
TOLERANCE = 1e-3
LIMIT_SECONDS = 300
FIGURES = {"ap", "ap50", "ap75", "ap_small", "test_loss"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detection") / "run"
    run_small(folder)
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_reports_the_parts_of_its_loss(name: str, tmp_path: Path, trained: Path) -> None:
    folder = trained.parent / name
    summary = run_small(folder, "--method", name)
    assert set(summary) >= FIGURES
    record = figures(folder)[-1]
    assert ("teacher_loss" in record) == (name != "none")
    assert ("defect" in record) == (name == "vkd")
    assert Detection.method_of(small("--method", name)) == name


def test_methods_start_from_the_same_student_and_see_the_same_batches() -> None:
    tasks = [Detection.untaught(small("--method", name)) for name in METHODS]
    first, *others = ({name: value.clone() for name, value in task.student.state_dict().items()} for task in tasks)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
    batches = [task.batch(3) for task in tasks]
    assert all(torch.equal(batches[0]["pixels"], batch["pixels"]) for batch in batches)


def test_a_killed_run_resumes_to_the_same_numbers(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained.parent / "killed"
    with killed(step=2, longer_than=2, monkeypatch=monkeypatch):
        run_small(folder)
    run_small(folder, resume=True)
    assert figures(folder) == figures(trained)


def test_a_killed_run_with_dropout_resumes_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = replace(PRESETS["vidt_micro"], dropout=0.5, drop_path=0.5)
    monkeypatch.setitem(DETECTORS, "vidt_micro", lambda classes: Vidt(shape, classes))
    words = ("--method", "none", "--student.name", "vidt_micro")
    run_small(tmp_path / "whole", *words)
    with killed(step=2, longer_than=2, monkeypatch=monkeypatch):
        run_small(tmp_path / "killed", *words)
    torch.rand(1)  # whatever has been drawn since
    run_small(tmp_path / "killed", *words, resume=True)
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


def test_two_processes_give_the_figures_of_one(tmp_path: Path) -> None:
    # Without distillation: the statistics of its tokens are a process's own.
    run_small(tmp_path / "one", "--method", "none")
    words = ["train", "detection", "--recipe", "scenes", *flags(), "--method", "none", "--run", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "distill", *words, "--scale.devices", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    one, two = figures(tmp_path / "one"), figures(tmp_path / "two")
    assert len(one) == len(two) > 0
    for before, after in zip(one, two, strict=True):
        assert before.keys() == after.keys()
        losses = [key for key in before if key.endswith("loss")]
        assert [after[key] for key in losses] == pytest.approx([before[key] for key in losses], rel=TOLERANCE)


def test_a_slice_worked_off_in_parts_gives_the_losses_of_a_whole_one(trained: Path) -> None:
    # Without distillation: the statistics of its tokens are a part's own.
    for count in ("1", "4"):
        run_small(trained.parent / f"parts-{count}", "--method", "none", "--scale.accumulate", count)
    one, other = (figures(trained.parent / f"parts-{count}") for count in ("1", "4"))
    for before, after in zip(one, other, strict=True):
        losses = [key for key in before if key.endswith("loss")]
        assert [after[key] for key in losses] == pytest.approx([before[key] for key in losses], rel=TOLERANCE)


def test_parts_add_up_to_the_whole_where_objects_are_fewer_than_parts(tmp_path: Path) -> None:
    shutil.copytree(few_scenes(), tmp_path / "scenes")
    path = tmp_path / "scenes" / "annotations" / "train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": content["annotations"][:1]}))
    words = ("--data.path", str(tmp_path / "scenes"), "--data.images", "0", "--data.batch_size", "24")
    task = Detection.untaught(small("--method", "none", *words))
    batch = task.batch(0)
    assert (batch["labels"] >= 0).sum() == 1
    with torch.no_grad():
        whole = task.module.eval()(batch)["loss"]
        parts = [task.module(part)["loss"] for part in split(batch, 4, torch.device("cpu"))]
    assert float(sum(parts) / 4) == pytest.approx(float(whole), rel=TOLERANCE)


def test_evaluate_prints_the_figures_of_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(trained)]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(printed["ap"]) == pytest.approx(figures(trained)[-1]["ap"], rel=1e-3)
    assert float(printed["test_loss"]) == pytest.approx(figures(trained)[-1]["test_loss"], rel=1e-3)


def test_without_distillation_no_teacher_is_needed(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--method", "none", "--teacher.weights", str(tmp_path / "nowhere.pth"))
    assert not (tmp_path / "teacher").exists()


def test_a_teacher_is_read_from_a_folder_that_says_how_many_classes_it_has(tmp_path: Path) -> None:
    save("vidt_micro", build("vidt_micro", 91), tmp_path / "weights")
    run_small(tmp_path / "run", "--teacher.weights", str(tmp_path / "weights"))
    assert read_summary(tmp_path / "teacher")["steps"] == 0
    words = ("--teacher.weights", str(tmp_path / "weights"), "--teacher.name", "vidt_mini")
    with pytest.raises(RecipeError, match=r"teacher\.name.*expected vidt_micro"):
        run_small(tmp_path / "other" / "run", *words, "--student.name", "vidt_pico")


def test_a_checkpoint_holds_nothing_of_the_teacher(trained: Path) -> None:
    names = load(paths(trained)[-1])["module"]
    assert {name.split(".")[0] for name in names} == {"detector", "distillation"}


def test_a_teacher_is_trained_once_and_another_recipes_is_refused(trained: Path) -> None:
    written = (trained.parent / "teacher" / "summary.json").stat().st_mtime_ns
    run_small(trained.parent / "second")
    assert (trained.parent / "teacher" / "summary.json").stat().st_mtime_ns == written
    with pytest.raises(DistillError, match="another recipe"):
        run_small(trained.parent / "third", "--teacher.seed", "5")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--student.name", "vidt_giant"], "unknown detector 'vidt_giant'"),
        (["--learned_from", "pixels"], "learned_from"),
        (["--data.flip", "0.5"], "data.flip"),
        (["--data.flip", "2"], "data.flip"),
        (["--data.image_size", "8"], "data.image_size"),
        (["--scale.compile", "true"], "scale.compile"),
        (["--method", "soft"], "method"),
        (["--teacher.optimiser.schedule", "linear"], "teacher.optimiser.schedule"),
        (["--data.images", "3", "--scale.accumulate", "2"], "data.images"),
        (["--teacher.name", "vidt_nano"], "100 queries"),
        (["--data.name", "coco", "--data.path", ""], "data.path"),
    ],
)
def test_what_a_recipe_cant_mean_is_one_sentence(
    words: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "detection", "--recipe", "scenes", *flags(), *words, "--run", str(tmp_path / "run")]
    assert cli.main(command) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", recipe.recipes("detection"))
def test_every_recipe_of_the_task_is_valid(name: str) -> None:
    config = recipe.load("detection", name, ["--device", "cpu", "--precision", "float32"])
    assert Detection.method_of(config) in METHODS


def test_the_best_predictions_come_first_with_their_own_boxes() -> None:
    logits = torch.tensor([[[[-1.0, 2.0], [0.5, -3.0]]]])
    boxes = torch.tensor([[[[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 1.0]]]])
    tokens = torch.zeros(1, 2, 1)
    corners, labels, scores = best(Detections(logits, boxes, [], [], tokens, tokens[None]))
    assert labels.tolist() == [[1, 0, 0, 1]]
    assert scores[0].tolist() == sorted(scores[0].tolist(), reverse=True)
    assert corners[0, 0].tolist() == [0, 0, 1, 1]
    assert corners[0, 1].tolist() == [0, 0, 0.5, 1]


def test_predictions_that_are_the_annotations_are_an_ap_of_one() -> None:
    _, annotations = read_parts(few_scenes())
    found = []
    for image in range(len(annotations)):
        own = annotations.objects(image)
        corners = annotations.boxes[own] / scenes.EDGE
        corners[:, 2:] += corners[:, :2]
        numbers = annotations.numbers[image : image + 1]
        found.append((numbers, corners[None], annotations.labels[own][None], np.ones((1, len(corners)))))
    assert judge(annotations, found, annotations.classes)["ap"] == pytest.approx(1)
    # Images that weren't seen don't count.
    assert judge(annotations, found[:3], annotations.classes)["ap"] == pytest.approx(1)


def test_a_detector_of_other_classes_is_judged_on_cocos_numbers_alone(tmp_path: Path) -> None:
    _, annotations = read_parts(few_scenes())
    wanted = small().data
    figures = evaluate(build("vidt_micro", 91).eval(), annotations, wanted, scenes.EDGE, Processes(is_alone=True))
    assert math.isnan(figures["ap"])
    coco = replace(annotations, categories=[(number + 80, str(number)) for number in range(10)] + [(90, "toothbrush")])
    figures = evaluate(build("vidt_micro", 91).eval(), coco, wanted, scenes.EDGE, Processes(is_alone=True))
    assert math.isfinite(figures["ap"])
    assert math.isnan(figures["test_loss"])
    own = coco.objects(0)
    corners = coco.boxes[own] / scenes.EDGE
    corners[:, 2:] += corners[:, :2]
    found = (coco.numbers[:1], corners[None], coco.labels[own][None] + 80, np.ones((1, len(corners))))
    assert judge(coco, [found], 91)["ap"] == pytest.approx(1)


def test_the_number_of_objects_is_the_whole_batchs(trained: Path) -> None:
    task = Detection.untaught(small())
    batch = task.batch(0)
    assert batch["objects"].sum() == (batch["labels"] >= 0).sum()


def test_a_few_images_are_the_seeds_own(trained: Path) -> None:
    def numbers(seed: int) -> set[int]:
        task = Detection.untaught(replace(small(), seed=seed))
        return {number for step in range(4) for number in task.indices(step)}

    assert len(numbers(0)) == 16
    assert numbers(0) == numbers(0) != numbers(1)


def test_a_process_alone_gathers_its_own_value() -> None:
    assert Processes(is_alone=True).gathered(3) == [3]
