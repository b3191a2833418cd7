"""`distill train` certifies its last checkpoint, and `proofs check` holds the certificate to it."""

import shutil
from pathlib import Path

import pytest
from small_runs import run_small

from proofs.cli import main
from stiefel.certificate_check import read

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


@pytest.mark.parametrize("by", ["cayley", "polar", "householder", "riemannian"])
def test_a_run_folder_has_the_weight_of_its_own_map_certified(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run_small(run, "--parameterisation", by)
    written = read(run / "certificate.json")
    (weight,) = [each for each in written.matrices if each.kind == "weight"]
    assert (weight.tensor, weight.parameterisation) == ("distillations.0.projector.linear.weight", by)
    assert (weight.map_distance is not None) == (by != "polar")
    assert main(["check", str(run / "certificate.json"), str(run)]) == 0
    assert "not checked" not in capsys.readouterr().out
    assert main(["certify", str(run), "--exact"]) == 0
    assert f"\n  the exact value of '{by}' lies within" in capsys.readouterr().out
    assert main(["check", str(run / "certificate.json"), str(next((run / "checkpoints").glob("*12.pt")))]) == 0
    assert f"not checked: {weight.tensor}: computed by {by}; give the run folder" in capsys.readouterr().out


def test_the_checkpoint_of_another_step_is_refuted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run_small(run)
    earlier, last = sorted((run / "checkpoints").iterdir())
    shutil.copy(earlier, last)
    assert main(["check", str(run / "certificate.json"), str(run)]) == 1
    printed = capsys.readouterr().out
    assert "distillations.0.projector.linear.parametrizations.weight.original: its values" in printed


def test_a_run_without_a_projector_has_a_certificate_of_hashes(tmp_path: Path) -> None:
    run_small(tmp_path / "run", "--alpha", "0")
    run_small(tmp_path / "taught")  # its teacher is a run of its own
    for folder in ("run", "teacher"):
        assert read(tmp_path / folder / "certificate.json").tensors
