"""A trained detector leaves as files: ours, transformers', and ONNX."""

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import small_detectors
import torch
from small_coco import make_coco
from small_detections import run_small, small
from small_detectors import HF
from tiny_detectors import shallow

from distill import checkpoint, cli, extras
from distill.detection import data
from distill.detection.data.batches import evaluation
from distill.detection.models import Detector, build, from_pretrained, save
from distill.tasks.detection import Detection

ROOT = Path(__file__).parents[3]
NAME, CLASSES = "vidt_micro", 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of VkD whose student didn't start with zeros anywhere: those would hide what a graph gets wrong."""
    folder = tmp_path_factory.mktemp("export")
    save(NAME, small_detectors.small(NAME, classes=CLASSES), folder / "start")
    words = ["--student.name", NAME, "--student.weights", str(folder / "start"), "--scale.average", "0.9"]
    run_small(folder / "run", *words)
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    folder = run.parent / "exported"
    assert cli.main(["export", str(run), "--out", str(folder)]) == 0
    return folder


def same(detector: Detector, state: dict[str, torch.Tensor]) -> bool:
    own = detector.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)


def test_the_exported_student_is_the_trained_one_bit_for_bit(run: Path, exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["config.json", "model.safetensors"]
    trained = checkpoint.load(checkpoint.paths(run)[-1])["module"]
    student = {key.removeprefix("detector."): value for key, value in trained.items() if key.startswith("detector.")}
    assert len(student) < len(trained)  # the projectors stay behind
    assert same(from_pretrained(exported), student)


def test_the_moving_average_can_be_exported(run: Path, exported: Path, tmp_path: Path) -> None:
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out"), "--average"]) == 0
    averages = checkpoint.load(checkpoint.paths(run)[-1])["average"]["averages"]
    assert same(from_pretrained(tmp_path / "out"), averages)
    assert not same(from_pretrained(exported), averages)


def test_another_run_starts_from_an_exported_student(exported: Path) -> None:
    task = Detection.untaught(small("--student.name", NAME, "--student.weights", str(exported)))
    assert same(task.student, from_pretrained(exported).state_dict())


def test_a_student_of_transformers_leaves_as_its_library_writes_it(tmp_path: Path) -> None:
    trained = small_detectors.small(HF)
    save(HF, trained, tmp_path)
    state = trained.state_dict()
    assert same(from_pretrained(tmp_path), state)
    assert same(build(f"hf:{tmp_path}", trained.classes, weights="pretrained"), state)
    transformers = extras.load("transformers", needed_by="a test")
    theirs = transformers.DeformableDetrForObjectDetection.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, state[f"model.{key}"]) for key, value in theirs.items())


def answers_alike(path: Path, model: Detector, *batches: tuple[torch.Tensor, torch.Tensor]) -> bool:
    """Whether an ONNX file gives a detector's last prediction."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "boxes"]
    errors = []
    for pixels, padding in batches:
        found = session.run(None, {"pixels": pixels.numpy(), "padding": padding.numpy()})
        output = model(pixels, padding)
        for own, other in zip((output.logits[-1], output.boxes[-1]), found, strict=True):
            errors.append((torch.from_numpy(other) - own).abs().max() / own.abs().max())
    # Another order of summation in every layer: 2.6e-7 measured, of two stages and of four; transformers' 3.2e-6.
    return max(errors) <= 100 * torch.finfo(torch.float32).eps


def python(*words: str) -> subprocess.CompletedProcess[str]:
    # A program of its own: the tests' shape checker ties the batch to the example's, and exporters see that.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)


@torch.no_grad()
def test_an_onnx_file_answers_alike_for_any_batch_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code = f"""
from pathlib import Path
from distill.detection.models.graph import as_graph
from distill.graph import write_onnx
from tiny_detectors import shallow
write_onnx(as_graph(shallow(), (32, 40)), Path({str(path)!r}))
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    alone = small_detectors.batch((32, 40), size=(32, 40))
    others = small_detectors.batch((32, 24), (16, 40), (32, 40), (20, 20), (31, 33), size=(32, 40))
    assert answers_alike(path, shallow(), alone, others)


@pytest.mark.nightly
@torch.no_grad()
def test_an_onnx_file_of_transformers_detector_answers_alike(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code = f"""
from pathlib import Path
from distill.detection.models.graph import as_graph
from distill.graph import write_onnx
from small_detectors import HF, small
write_onnx(as_graph(small(HF), (64, 64)), Path({str(path)!r}))
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    images = small_detectors.batch((64, 48), (32, 64), (64, 64), size=(64, 64))
    assert answers_alike(path, small_detectors.small(HF), images)


@pytest.mark.nightly
@torch.no_grad()
def test_a_run_is_exported_with_its_onnx_file(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = python("-m", "distill", "export", str(run), "--out", str(out), "--onnx")
    assert done.returncode == 0, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == ["config.json", "model.onnx", "model.safetensors"]
    images = small_detectors.batch((64, 48), (32, 64), (64, 64), size=(64, 64))
    assert answers_alike(out / "model.onnx", from_pretrained(out).eval(), images)


def test_a_graph_takes_images_as_large_as_the_largest_held_out_one(tmp_path: Path) -> None:
    words = ["--data.name", "coco", "--data.path", str(make_coco(tmp_path / "coco")), "--data.image_size", "64"]
    config = small(*words, "--student.name", NAME)
    task = Detection.untaught(config)
    task.save(tmp_path / "out")
    inputs = task.graph(tmp_path / "out").inputs
    (batch,) = evaluation(data.load(config.data)[1], config.data, 64, task.device, size=100)
    assert inputs["pixels"].shape[1:] == batch["pixels"].shape[1:]
    assert inputs["padding"].shape[1:] == batch["padding"].shape[1:]
