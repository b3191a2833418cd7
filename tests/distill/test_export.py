"""A trained student leaves as files: ours, its library's, and ONNX."""

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import small_models
import torch
from small_models import CHANNELS, SIZE
from small_runs import run_small

from distill import checkpoint, extras, models, recipe, tasks
from distill.cli import main
from distill.errors import CheckpointError, RunFolderError
from distill.export import export
from distill.task import ExportableTask
from distill.tasks import TASKS
from distill.train import run_config

ROOT = Path(__file__).parents[2]
TIMM_STUDENT = [
    *("--student.name", "timm:test_resnet", "--student.width", "0"),
    *("--student.depth", "0", "--student.heads", "0", "--student.patch", "0"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("flags", [[], TIMM_STUDENT], ids=["deit", "timm"])
def test_the_exported_student_is_the_trained_one_bit_for_bit(flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    run_small(run, *flags)
    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    exported = models.from_pretrained(tmp_path / "out")
    trained = checkpoint.load(checkpoint.paths(run)[-1])["module"]
    inner = "student." if exported.native is exported else "student.model."
    student = {key.removeprefix(inner): value for key, value in trained.items() if key.startswith(inner)}
    state = exported.native.state_dict()
    assert state.keys() == student.keys()
    assert all(torch.equal(state[key], student[key]) for key in state)
    if flags:
        theirs = extras.load("timm", needed_by="a test").create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
        assert all(torch.equal(value, state[key]) for key, value in theirs.state_dict().items())


def test_the_moving_average_can_be_exported(tmp_path: Path) -> None:
    run_small(tmp_path / "runs" / "run", "--scale.average", "0.9")
    assert main(["export", str(tmp_path / "runs" / "run"), "--out", str(tmp_path / "out"), "--average"]) == 0
    state = models.from_pretrained(tmp_path / "out").state_dict()
    averages = checkpoint.load(checkpoint.paths(tmp_path / "runs" / "run")[-1])["average"]["averages"]
    assert all(torch.equal(state[name], value) for name, value in averages.items())
    run_small(tmp_path / "runs" / "plain")
    assert main(["export", str(tmp_path / "runs" / "plain"), "--out", str(tmp_path / "no"), "--average"]) == 2
    assert not (tmp_path / "no").exists()


def test_an_earlier_checkpoint_can_be_exported(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    run_small(run)
    earlier, last = checkpoint.paths(run)
    export(earlier, tmp_path / "earlier", onnx=False)
    export(last, tmp_path / "last", onnx=False)
    export(run, tmp_path / "run", onnx=False)
    of_earlier, of_last, of_run = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("earlier", "last", "run")
    )
    assert of_earlier != of_last == of_run


def test_what_cannot_be_exported_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs" / "run"
    run_small(run)
    with pytest.raises(CheckpointError, match="there is none"):
        export(run / "checkpoints" / "step-00000999.pt", tmp_path / "out", onnx=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match="holds something already"):
        export(run, tmp_path / "file", onnx=False)
    with pytest.raises(RunFolderError, match="can't be created"):
        export(run, tmp_path / "file" / "inside", onnx=False)
    with pytest.raises(RunFolderError, match="holds something already"):
        export(run, run, onnx=False)
    assert main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert main(["export", str(run), "--out", str(tmp_path / "out"), "--alpha", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert f"{tmp_path / 'nothing'} is no run" in said


@pytest.mark.parametrize("name", [name for name in TASKS if not issubclass(tasks.get(name), ExportableTask)])
def test_a_run_of_a_task_that_cannot_be_exported_is_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = recipe.load(name, recipe.recipes(name)[0], ["--device", "cpu", "--precision", "float32"])
    (tmp_path / "config.yaml").write_text(run_config(name, config))
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"holds a {name} run; export one of classification or detection" in said
    assert "`distill sample`" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def python(code: str) -> subprocess.CompletedProcess[str]:
    # A program of its own: the tests' shape checker ties the batch to the example's, and exporters see that.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)


def written(folder: Path) -> str:
    """Return the code that turns folder/saved into folder/model.onnx."""
    return f"""
from pathlib import Path
from distill.graph import write_onnx
from distill.models import from_pretrained
from distill.models.graph import as_graph
write_onnx(as_graph(from_pretrained({str(folder / "saved")!r})), Path({str(folder / "model.onnx")!r}))
"""


@pytest.mark.parametrize("name", ["deit", "timm:test_resnet"])
def test_an_onnx_file_answers_alike_for_any_batch(name: str, tmp_path: Path) -> None:
    model, path = small_models.build(name), tmp_path / "model.onnx"
    model.save(tmp_path / "saved")
    done = python(written(tmp_path))
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    heads = ["logits", "distillation_logits"] if name == "deit" else ["logits"]
    assert [output.name for output in session.get_outputs()] == heads
    for batch in (1, 5):
        pixels = torch.randn(batch, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(batch))
        found = session.run(None, {"pixels": pixels.numpy()})
        output = model(pixels)
        for head, logits in zip(heads, found, strict=True):
            # Another order of summation in every layer: 7e-7 measured on logits of about 1.
            error = torch.from_numpy(logits) - getattr(output, head)
            assert error.abs().max() <= 100 * torch.finfo(torch.float32).eps


def test_a_run_is_exported_with_its_onnx_file(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    run_small(run)
    words = ["export", str(run), "--out", str(tmp_path / "out"), "--onnx"]
    done = python(f"from distill.cli import main; main({words!r})")
    assert [Path(line).name for line in done.stdout.splitlines()] == ["config.json", "model.onnx", "model.safetensors"]


def test_a_model_that_torch_cannot_turn_into_a_graph_gives_one_sentence(tmp_path: Path) -> None:
    small_models.build("hf:swin").save(tmp_path / "saved")
    last = python(written(tmp_path)).stderr.splitlines()[-1]
    assert "ModelError: can't use model 'TransformersBackbone': torch can't turn it into an ONNX graph" in last
    assert "export it without --onnx" in last
