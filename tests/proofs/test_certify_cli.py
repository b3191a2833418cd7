"""`proofs certify` and `proofs check`: what is tampered with is named, what can't be certified is said."""

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import stiefel
from proofs.cli import main
from stiefel.certificate import certify
from stiefel.certificate_check import CertificateError, read, to_json

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

CLAIMS = ("frobenius", "spectral", "entry", "lapack_ratio")


def model() -> nn.Module:
    """Return one matrix of each kind: base, kernel, point, packed, bfloat16, complex, batch, and a plain one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.ModuleDict(
            {
                "base": stiefel.attach(nn.Linear(8, 32), by="polar"),
                "point": stiefel.attach(nn.Linear(6, 9), by="riemannian"),
                "packed": stiefel.attach(nn.Linear(9, 6), by="householder"),
                "kernel": stiefel.detach(stiefel.attach(nn.Conv2d(3, 16, 3), by="qr")),
                "low": stiefel.detach(stiefel.attach(nn.Linear(4, 12), by="cayley")).bfloat16(),
                "ordinary": nn.Linear(5, 7),
            }
        )
    generator = torch.Generator().manual_seed(1)
    layers.register_buffer("batch", stiefel.random_point(2, 7, 3, dtype=torch.float64, generator=generator))
    layers.register_buffer("unitary", stiefel.random_point(4, 4, dtype=torch.complex64, generator=generator))
    return layers


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(model().state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.fixture
def certificate(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = checkpoint.with_name("certificate.json")
    assert main(["certify", str(checkpoint), "--json", str(path)]) == 0
    capsys.readouterr()
    return path


def refuted(capsys: pytest.CaptureFixture[str], *words: Path) -> list[str]:
    assert main(["check", *map(str, words)]) == 1
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("refuted: ")]


def test_every_kind_of_matrix_is_certified(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {each.tensor: each for each in certify(checkpoint).matrices}
    kinds = {name: (each.kind, each.side, each.tall_shape, each.dtype) for name, each in found.items()}
    assert kinds == {
        "base.weight": ("base", "columns", (32, 8), "float32"),
        "point.weight": ("point", "columns", (9, 6), "float32"),
        "kernel.weight": ("plain", "rows", (27, 16), "float32"),
        "low.weight": ("plain", "columns", (12, 4), "bfloat16"),
        "batch": ("plain", "columns", (2, 7, 3), "float64"),
        "unitary": ("plain", "columns", (4, 4), "complex64"),
    }
    for stored in stiefel.inspect_state_dict(torch.load(checkpoint)):
        if stored.defect is not None:
            claimed = found[stored.tensor].lapack_ratio
            # `inspect` rounds, which shows in float64 alone; a claim has a margin of 2e-4 at most.
            assert stored.defect * (1 - 1e-9) <= claimed * (1 + (stored.tensor == "batch")) <= 3 * stored.defect
    assert main(["certify", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert "kernel.weight   16 × 3 × 3 × 3 (as a matrix 16 × 27) float32, orthonormal rows" in out
    assert "not certified: packed.weight: its base packs reflectors" in out


def test_no_text_calls_it_a_proof_and_no_printed_figure_is_below_the_claim(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["certify", str(checkpoint)])
    out = capsys.readouterr().out
    assert "prove" not in out
    assert "proof" not in out
    printed = [float(value) for value in re.findall(r"_F ≤ (\S+)", out)]
    assert printed == [each.frobenius for each in certify(checkpoint).matrices]


@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_a_certificate_is_borne_out_by_its_own_file(
    exact: list[str], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    assert main(["certify", str(checkpoint), *exact, "--json", str(path)]) == 0
    assert read(path).arithmetic == ("exact integers" if exact else "float64 splitting")
    assert to_json(read(path)) == path.read_text()
    assert main(["check", str(path), str(checkpoint)]) == 0
    assert "model.pt is the certified file" in capsys.readouterr().out


def test_claims_are_the_bounds_and_at_most_a_thousandth_more(checkpoint: Path) -> None:
    for claimed, bound in zip(certify(checkpoint).matrices, certify(checkpoint, margin=0).matrices, strict=True):
        for field in CLAIMS:
            assert getattr(bound, field) < getattr(claimed, field) < 1.001 * getattr(bound, field)


def save_changed(checkpoint: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    state = dict(torch.load(checkpoint))
    change(state)
    torch.save(state, checkpoint)


def put(tensor: Tensor, value: float) -> None:
    tensor[(0,) * tensor.ndim] = value


def flip_last_bit(state: dict[str, Tensor]) -> None:
    state["kernel.weight"].view(torch.int32)[3, 1, 0, 0] ^= 1


def swap(state: dict[str, Tensor]) -> None:
    state["batch"] = state["batch"].flip(0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (flip_last_bit, "kernel.weight: its values, shape or dtype"),
        (swap, "batch: its values, shape or dtype"),
        (lambda state: state.pop("ordinary.bias"), "ordinary.bias: certified, but not in the file"),
        (lambda state: state.update(more=torch.eye(3)), "more: in the file, but not certified"),
        (lambda state: state["low.weight"].mul_(2), "low.weight: no such orthonormal plain matrix"),
        (
            lambda state: state.update({"low.weight": state["low.weight"].float()}),
            "low.weight: certified dtype bfloat16",
        ),
    ],
)
def test_a_changed_tensor_is_named(
    change: Callable[[dict[str, Tensor]], Any],
    named: str,
    checkpoint: Path,
    certificate: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_changed(checkpoint, change)
    sentences = refuted(capsys, certificate, checkpoint)
    assert sentences[0] == "refuted: model.pt isn't the certified file: its SHA-256 differs"
    assert any(sentence.startswith(f"refuted: {named}") for sentence in sentences)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9, -1])
def test_any_changed_byte_is_noticed(
    where: float, checkpoint: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[int(where * len(content)) if where > 0 else -1] ^= 1
    checkpoint.write_bytes(content)
    assert refuted(capsys, certificate, checkpoint)


@pytest.mark.parametrize("field", CLAIMS)
def test_a_claim_made_smaller_is_refuted(
    field: str, checkpoint: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(certificate.read_text())
    for matrix in document["matrices"]:
        matrix[field] *= 0.999
    certificate.write_text(json.dumps(document))
    sentences = refuted(capsys, certificate, checkpoint)
    assert [f"claims {field} <= " in sentence for sentence in sentences] == [True] * len(document["matrices"])


@pytest.mark.parametrize("key", ["sha256", "shape", "side", "tall_shape", "dtype", "tensor"])
def test_a_certificate_that_says_something_else_is_refuted(
    key: str, checkpoint: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(certificate.read_text())
    matrix = document["matrices"][0]
    matrix[key] = [*matrix[key], 1] if isinstance(matrix[key], list) else f"{matrix[key]}0"
    certificate.write_text(json.dumps(document))
    assert len(refuted(capsys, certificate, checkpoint)) == 1


def test_the_file_of_another_certificate_is_refuted(
    tmp_path: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"weight": torch.eye(4)}, tmp_path / "other.safetensors")
    assert "isn't the certified file" in refuted(capsys, certificate, tmp_path / "other.safetensors")[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda text: text[:-20], "it isn't whole JSON"),
        (lambda text: "", "it isn't whole JSON"),
        (lambda text: "[]", "it holds no certificate"),
        (lambda text: text.replace('"certified"', '"sampled"'), "it holds no certificate"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "expected version 1, got 2"),
        (lambda text: re.sub(r'"spectral": \S+,', "", text), "'spectral'"),
        (lambda text: re.sub(r'"spectral": \S+,', '"spectral": Infinity,', text), "it isn't whole JSON"),
        (lambda text: re.sub(r'"spectral": \S+,', '"spectral": "small",', text), "'spectral' is 'small'"),
        (lambda text: re.sub(r'"kind": "point"', '"kind": null', text), "'kind' is None"),
        (lambda text: re.sub(r'"torch": \S+,', '"torch": "x", "more": 1,', text), "'more'"),
    ],
)
def test_a_damaged_certificate_is_refused_in_one_sentence(
    content: Callable[[str], str],
    reason: str,
    checkpoint: Path,
    certificate: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    certificate.write_text(content(certificate.read_text()))
    with pytest.raises(CertificateError):
        read(certificate)
    assert main(["check", str(certificate), str(checkpoint)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("key", ["kernel.weight", "ordinary.bias", "base.parametrizations.weight.original"])
def test_nan_is_refused_by_name(
    key: str, checkpoint: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_changed(checkpoint, lambda state: put(state[key], math.nan))
    for words in (["certify", str(checkpoint)], ["check", str(certificate), str(checkpoint)]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"{key} must be finite, got 1 NaN" in error or f"{key.split('.')[0]}.weight must be finite" in error


def test_a_tensor_with_infinities_is_named_and_the_others_certified(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_changed(checkpoint, lambda state: put(state["kernel.weight"], -math.inf))
    assert main(["certify", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert "not certified: kernel.weight: infinite entries: 1 of 432" in out
    assert "\nlow.weight   12 × 4 bfloat16" in out


def test_tensors_of_unusual_kinds_are_hashed_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, written = tmp_path / "unusual.pt", tmp_path / "certificate.json"
    state = {
        "matrix": torch.eye(3),
        "sparse": torch.eye(3).to_sparse(),
        "eighth": torch.full((3, 3), math.inf).to(torch.float8_e5m2),
        "permutation": torch.eye(4)[[2, 0, 1]].to(torch.float8_e4m3fn),
        "counter": torch.tensor(7),
        "mask": torch.ones(2, dtype=torch.bool),
        "empty": torch.zeros(0, 3),
    }
    torch.save(state, path)
    assert main(["certify", str(path), "--json", str(written)]) == 0
    out = capsys.readouterr().out
    assert "matrix   3 × 3 float32, orthonormal columns" in out
    assert "‖XᵀX − I‖_F ≤ 0 " in out
    assert "not certified: sparse: its layout is torch.sparse_coo" in out
    assert "not certified: eighth: infinite entries: 9 of 9" in out
    assert {each.name for each in read(written).tensors} == state.keys() - {"sparse"}
    assert [each.tensor for each in read(written).matrices] == ["matrix", "permutation"]
    assert main(["check", str(written), str(path)]) == 0


def test_a_file_without_an_orthonormal_matrix_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.ones(3, 3)}, tmp_path / "ones.pt")
    assert main(["certify", str(tmp_path / "ones.pt")]) == 1
    assert "no matrix of ones.pt is orthonormal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["certify", "missing.pt"], "can't read 'missing.pt': No such file or directory"),
        (["certify", "empty.pt"], "can't read 'empty.pt': it is empty"),
        (["certify", "text.pt"], "can't read 'text.pt': it isn't what torch.save"),
        (["certify", "folder"], "can't load checkpoint folder/checkpoints: there is none"),
        (["check", "missing.json", "folder"], "can't read certificate 'missing.json'"),
        (["check", "text.pt", "text.pt"], "can't read certificate 'text.pt': it isn't whole JSON"),
        (["certify"], "the following arguments are required"),
    ],
)
def test_bad_input_ends_with_two_and_one_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("hello, this is no checkpoint")
    (tmp_path / "folder").mkdir()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"proofs: {sentence}")
    assert error.count("\n") == 1


def test_a_missing_python_flint_is_one_sentence(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    for module in ("proofs.exact", "proofs.balls"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["certify", str(checkpoint)]) == 0
    assert main(["certify", str(checkpoint), "--exact"]) == 2
    assert capsys.readouterr().err == "proofs: exact arithmetic needs python-flint; install `stiefel-distill[proofs]`\n"
