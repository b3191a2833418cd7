"""`proofs certify --coq`: Coq's kernel accepts what is true of the floats on disk, and nothing else."""

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import stiefel
from proofs.cli import main
from proofs.errors import BuildFailed, KernelFailed, Refused
from proofs.exact import exact_defect
from proofs.formal import build, kernel
from proofs.formal.build import compiled, is_coq_here
from proofs.formal.kernel import LARGEST, integers, prove, unsuitable
from stiefel.bounds import defect_bounds
from stiefel.certificate import certify
from stiefel.certificate_check import read

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

needs_coq = pytest.mark.skipif(not is_coq_here(), reason="needs Coq and mathcomp: NO KERNEL CHECKED A MATRIX")
PROVED = "Coq's kernel, theorem accepted_rows_keep_inner_products, axioms: none"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the theorems once for this file, and nothing in the home of whoever runs it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


def point(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return stiefel.random_point(*shape, dtype=dtype, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a file with a matrix, a kernel of orthonormal rows, a batch, a complex one and one that is too large."""
    state = {
        "matrix": point(9, 4),
        "kernel": point(12, 3).mT.reshape(3, 3, 2, 2).contiguous(),
        "batch": point(2, 5, 2, dtype=torch.float64),
        "unitary": point(4, 2, dtype=torch.complex64),
        "large": point(LARGEST + 1, 2),
    }
    torch.save(state, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def defect_squared(matrix: Tensor) -> Fraction:
    defect, shift = exact_defect(matrix.double().numpy())
    return Fraction(sum(value * value for row in defect for value in row), 1 << 2 * shift)


def tightest(square: Fraction) -> float:
    """Return the least float whose square is `square` or more."""
    bound = math.sqrt(square) * (1 - 1e-15)
    while Fraction(bound) ** 2 < square:
        bound = math.nextafter(bound, math.inf)
    return bound


@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1, max_size=3
    )
)
def test_the_literals_are_the_floats_exactly(rows: list[list[float]]) -> None:
    numerators, scale = integers(rows)
    assert [[Fraction(top, scale) for top in row] for row in numerators] == [[*map(Fraction, row)] for row in rows]


@needs_coq
@pytest.mark.parametrize(
    ("shape", "dtype"), [((7, 3), torch.float64), ((4, 4), torch.float32), ((5, 1), torch.bfloat16)], ids=str
)
def test_the_kernel_accepts_the_least_true_bound_and_refuses_the_next_float_below(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    matrix = point(*shape).to(dtype)
    bound = tightest(defect_squared(matrix))
    assert prove("x", matrix, bound) == PROVED
    with pytest.raises(Refused, match=r"refuses .* of x"):
        prove("x", matrix, math.nextafter(bound, 0))


@needs_coq
def test_a_halved_bound_is_refused_by_the_command_line(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("proofs.cli.certify", lambda path, **settings: certify(path, **settings, margin=-0.5))
    assert main(["certify", str(checkpoint), "--coq"]) == 1
    assert "refuted: Coq's kernel refuses ‖XᵀX − I‖_F <= " in capsys.readouterr().err


@needs_coq
@pytest.mark.parametrize("matrix", [torch.eye(5, 3), torch.eye(3)[[2, 0, 1]], torch.zeros(4, 2), torch.ones(1, 1)])
def test_exact_and_hopeless_matrices_have_their_exact_bounds_proved(matrix: Tensor) -> None:
    assert prove("x", matrix, tightest(defect_squared(matrix))) == PROVED


@needs_coq
def test_entries_of_every_size_are_exact_too() -> None:
    matrix = point(4, 2, dtype=torch.float64)
    matrix[0, 0], matrix[1, 1] = 5e-324, 1e60
    assert prove("x", matrix, defect_bounds(matrix).frobenius) == PROVED


@needs_coq
def test_a_batch_is_refused_for_its_worst_matrix() -> None:
    batch = torch.stack([torch.eye(3, 2), torch.eye(3, 2)])
    assert prove("x", batch, 0.0) == PROVED
    batch[1, 0, 0] = np.nextafter(np.float32(1), np.float32(2)).item()
    with pytest.raises(Refused):
        prove("x", batch, 0.0)


@pytest.mark.nightly
@needs_coq
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_matrix_is_proved(dtype: torch.dtype) -> None:
    matrix = point(LARGEST, LARGEST, dtype=dtype)
    assert prove("x", matrix, defect_bounds(matrix).frobenius) == PROVED


@needs_coq
def test_a_certificate_says_what_the_kernel_proved_and_is_borne_out(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    assert main(["certify", str(checkpoint), "--coq", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"  proved by {PROVED}:\n    ‖XXᵀ − I‖_F ≤ " in out
    assert "not proved: unitary: the theorem is about real matrices\n" in out
    assert f"not proved: large: {LARGEST + 1} × 2 is more than {LARGEST} × {LARGEST}\n" in out
    written = {each.tensor: each.proved for each in read(path).matrices}
    assert written == dict.fromkeys(("matrix", "kernel", "batch"), PROVED) | dict.fromkeys(("unitary", "large"))
    assert main(["check", str(path), str(checkpoint)]) == 0
    assert "not checked" not in capsys.readouterr().out


@needs_coq
@pytest.mark.parametrize(
    ("tensor", "claimed"), [("large", PROVED), ("matrix", PROVED.replace("none", "mine")), ("matrix", "Euclid")]
)
def test_a_proof_that_nobody_can_repeat_is_refuted(
    tensor: str, claimed: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    main(["certify", str(checkpoint), "--json", str(path)])
    document = json.loads(path.read_text())
    next(each for each in document["matrices"] if each["tensor"] == tensor)["proved"] = claimed
    path.write_text(json.dumps(document))
    capsys.readouterr()
    assert main(["check", str(path), str(checkpoint)]) == 1
    assert f"refuted: {tensor}: claims a proof by {claimed}, got " in capsys.readouterr().out


def test_without_coq_a_check_says_what_it_leaves_out(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    main(["certify", str(checkpoint), "--json", str(path)])
    document = json.loads(path.read_text())
    document["matrices"][0]["proved"] = PROVED
    path.write_text(json.dumps(document))
    monkeypatch.setenv("PATH", "/no/such/folder")
    capsys.readouterr()
    assert main(["check", str(path), str(checkpoint)]) == 0
    assert f"not checked: matrix: proved by {PROVED}; to prove it anew takes Coq" in capsys.readouterr().out


def test_without_coq_there_is_one_sentence(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/no/such/folder")
    assert main(["certify", str(checkpoint), "--coq"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("proofs: building the proofs needs coqc, coq_makefile, make; ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("state", "code", "sentence"),
    [
        ({"x": torch.eye(LARGEST + 1, 2)}, 2, "expected a matrix that Coq's kernel can check, got x: 65 × 2 is more"),
        ({"x": torch.eye(3, 2, dtype=torch.complex64)}, 2, "got x: the theorem is about real matrices; leave out"),
        ({"x": torch.ones(3, 2)}, 1, "no matrix of model.pt is orthonormal"),
        ({"x": torch.full((3, 2), math.nan)}, 2, "x must be finite, got 6 NaN"),
    ],
)
def test_what_the_kernel_is_not_asked_is_one_sentence(
    state: dict[str, Tensor], code: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state, tmp_path / "model.pt")
    assert main(["certify", str(tmp_path / "model.pt"), "--coq"]) == code
    assert sentence in "".join(capsys.readouterr())


@needs_coq
@pytest.mark.parametrize(
    ("limit", "value", "reason"), [("_SECONDS", 0.01, "longer than 0.01 s"), ("_MIB", 50, "but .*emory")]
)
def test_a_run_that_takes_too_much_is_stopped(
    limit: str, value: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled("integers")
    monkeypatch.setattr(kernel, limit, value)
    with pytest.raises(KernelFailed, match=reason):
        prove("x", torch.eye(3, 2), 0.0)


@needs_coq
def test_an_answer_that_rests_on_another_axiom_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "assumptions", lambda output: {"certified": ["mine"]})
    with pytest.raises(KernelFailed, match="rests on mine"):
        prove("x", torch.eye(3, 2), 0.0)


@needs_coq
def test_the_theorems_are_built_once_for_each_version_of_the_sources(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> None:
        (tmp_path / "_CoqProject").write_text("-Q . StiefelFormal\nsmall.v\n")
        (tmp_path / "small.v").write_text(text)

    write("Theorem fine : True. Proof. exact I. Qed.")
    first = compiled("small", sources=tmp_path)
    assert (first / "small.vo").is_file()
    with monkeypatch.context() as patch:
        patch.setattr(build, "_build", None)
        assert compiled("small", sources=tmp_path) == first
    write("Theorem false : False. Proof. exact I. Qed.")
    before = set((cache / "stiefel-distill").iterdir())
    with pytest.raises(BuildFailed, match=r"small\.v must compile"):
        compiled("small", sources=tmp_path)
    assert set((cache / "stiefel-distill").iterdir()) == before


def test_only_real_matrices_up_to_the_limit_are_suitable() -> None:
    assert unsuitable((3, LARGEST, LARGEST), is_complex=False) is None
    assert unsuitable((LARGEST + 1, 1), is_complex=False) is not None
    assert unsuitable((2, 1), is_complex=True) is not None
