"""`diagnose` and `stiefel inspect`: angles that were put in come out, and a checkpoint's matrices are recognised."""

import hashlib
import io
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import stiefel
from distill import checkpoint
from stiefel.cli import main
from stiefel.diagnose import read_state_dict
from stiefel.errors import NonFiniteError
from stiefel.linalg import skew

NAMES = stiefel.names()
KINDS = {"givens": "packed", "householder": "packed", "riemannian": "point"}
TRIVIALISED = [name for name in NAMES if stiefel.get(name).claims.optimiser == "any"]
EPS = torch.finfo(torch.float64).eps


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attached(by: str, rows: int, columns: int) -> nn.Linear:
    layer = nn.Linear(columns, rows, bias=False, dtype=torch.float64)
    layer.weight.data.copy_(gaussian(rows, columns))
    stiefel.attach(layer, by=by)
    return layer


def put(layer: nn.Module, free: Tensor) -> None:
    layer.parametrizations.weight.original.data.copy_(free)


def planes(*angles: float) -> Tensor:
    """Return the skew generator of rotations by `angles` in planes that share nothing, in a random basis."""
    blocks = [torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=torch.float64) for angle in angles]
    basis = stiefel.nearest_point(gaussian(2 * len(angles), 2 * len(angles), seed=3))
    return skew(basis @ torch.block_diag(*blocks) @ basis.mT)


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_weight_is_healthy_and_at_its_base(name: str) -> None:
    model = nn.Sequential(attached(name, 6, 4), nn.ReLU(), attached(name, 3, 6))
    first, second = stiefel.diagnose(model)
    claims = stiefel.get(name).claims
    assert (first.tensor, second.tensor) == ("0.weight", "2.weight")
    assert (first.shape, second.shape) == ((6, 4), (6, 3))
    for each in (first, second):
        assert each.parameterisation == name
        assert each.defect <= claims.residual
        assert each.determinant is None
        assert each.domain == claims.domain
        if name in TRIVIALISED:
            assert (each.free_norm, each.turn) == (0, 0)
            assert each.half_turn_distance == pytest.approx(2, abs=claims.residual * 6 * EPS)
        else:
            assert each.free_norm == pytest.approx(1)
            assert (each.turn, each.half_turn_distance) == (None, None)


@pytest.mark.parametrize("largest", [1e-6, 0.3, 2.0, 3.1])
def test_the_turn_of_a_square_weight_is_its_largest_rotation_angle(largest: float) -> None:
    layer = attached("exponential", 4, 4)
    put(layer, stiefel.adapter(layer).map.base @ planes(largest, largest / 2))
    (found,) = stiefel.diagnose(layer)
    assert found.turn == pytest.approx(largest, rel=1e-9)
    # −1 is |e^{iθ} + 1| = 2·cos(θ/2) away from the eigenvalue of the largest angle.
    assert found.half_turn_distance == pytest.approx(2 * math.cos(largest / 2), abs=100 * EPS)
    assert found.free_norm == pytest.approx(largest)


# Rounding puts ‖X − X0‖₂ above 2 for some of these sizes, where an unguarded asin is NaN.
@pytest.mark.parametrize("count", range(1, 7))
def test_a_half_turn_is_pi_to_a_few_roots_of_eps(count: int) -> None:
    layer = attached("exponential", 2 * count, 2 * count)
    put(layer, stiefel.adapter(layer).map.base @ planes(*[math.pi] * count))
    (found,) = stiefel.diagnose(layer)
    assert math.pi - 10 * EPS**0.5 <= found.turn <= math.pi
    assert found.half_turn_distance <= 100 * EPS


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_no_diagnosis(name: str) -> None:
    layer = stiefel.attach(nn.Linear(4, 9), by=name)
    outside = stiefel.diagnose(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert stiefel.diagnose(layer) == outside


@pytest.mark.parametrize("angle", [0.3, 1.2, 3.0])
def test_the_turn_of_a_tall_weight_counts_a_tilt_and_a_rotation_inside_the_columns_alike(angle: float) -> None:
    base = torch.eye(6, 2, dtype=torch.float64)
    tilt = torch.zeros(6, 2, dtype=torch.float64)
    tilt[2, 0] = angle
    rotation = base @ torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=torch.float64)
    # A tilted column v has v·X0ᵀX·v = cos θ; a rotation's eigenvalue e^{iθ} is 2·cos(θ/2) away from −1.
    for tangent, expected in ((tilt, 1 + math.cos(angle)), (rotation, 2 * math.cos(angle / 2))):
        layer = attached("exponential", 6, 2)
        layer.weight = base
        put(layer, tangent)
        (found,) = stiefel.diagnose(layer)
        assert found.turn == pytest.approx(angle, rel=1e-9)
        assert found.half_turn_distance == pytest.approx(expected)


@pytest.mark.parametrize("norm", [1.0, 10.0, 1e4])
def test_cayley_nears_the_half_turn_as_its_free_tensor_grows(norm: float) -> None:
    layer = attached("cayley", 4, 4)
    put(layer, stiefel.adapter(layer).map.base @ planes(norm, 0.1))
    (found,) = stiefel.diagnose(layer)
    assert found.turn == pytest.approx(2 * math.atan(norm / 2), rel=1e-7)
    assert found.half_turn_distance == pytest.approx(2 / math.hypot(1, norm / 2), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_determinant_of_a_square_weight_has_its_sign(name: str) -> None:
    layer = attached(name, 3, 3)
    for sign in (1, -1):
        layer.weight = torch.diag(torch.tensor([1.0, sign, 1.0], dtype=torch.float64))
        assert stiefel.diagnose(layer)[0].determinant == sign


def test_a_batch_is_diagnosed_by_its_worst_matrix() -> None:
    module = nn.Module()
    module.kernels = nn.Parameter(torch.stack([torch.eye(4), torch.eye(4).flip(0)[[1, 0, 2, 3]]]).double())
    stiefel.attach(module, "kernels", by="exponential")
    module.parametrizations.kernels.original.data[1] = stiefel.adapter(module, "kernels").map.base[1] @ planes(2.0, 1.0)
    (found,) = stiefel.diagnose(module)
    assert found.tensor == "kernels"
    assert found.shape == (2, 4, 4)
    assert found.turn == pytest.approx(2.0)
    assert found.half_turn_distance == pytest.approx(2 * math.cos(1.0))
    assert found.determinant == 0


def test_a_map_outside_the_registry_is_named_by_its_class() -> None:
    layer = nn.Linear(3, 5)
    stiefel.attach(layer, by="proofs.wrong_in_use:PointAsFree")
    assert stiefel.diagnose(layer)[0].parameterisation == "proofs.wrong_in_use:PointAsFree"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_low_precision_weight_is_measured_in_its_own_eps(dtype: torch.dtype) -> None:
    layer = nn.Linear(4, 9, dtype=dtype)
    stiefel.attach(layer)
    (found,) = stiefel.diagnose(layer)
    assert found.defect == stiefel.residual_in_eps(layer.weight)
    assert 0 < found.defect < 1


def test_diagnose_changes_nothing_and_skips_what_is_not_ours() -> None:
    layer = attached("polar", 5, 3)
    nn.utils.parametrizations.weight_norm(model := nn.Linear(3, 3))
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    stiefel.diagnose(layer)
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    assert stiefel.diagnose(model) == []


def test_diagnose_names_the_weight_that_holds_nan() -> None:
    model = nn.Sequential(attached("qr", 5, 3), attached("qr", 5, 3))
    model[1].parametrizations.weight.original.data[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"^1\.weight must be finite, got 1 NaN or infinite entries of 15"):
        stiefel.diagnose(model)


def test_an_infinite_free_tensor_of_a_state_dict_is_named_by_its_weight() -> None:
    model = nn.Sequential(attached("qr", 5, 3))
    model[0].parametrizations.weight.original.data[0, 0] = math.inf
    with pytest.raises(NonFiniteError, match=r"^0\.weight must be finite, got 1 NaN or infinite entries of 15"):
        stiefel.inspect_state_dict(model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_parameterisation_is_recognised_in_a_state_dict(name: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), attached(name, 4, 6))
    (found,) = stiefel.inspect_state_dict(model.state_dict())
    assert (found.tensor, found.shape, found.side) == ("1.weight", (6, 4), "columns")
    assert found.kind == KINDS.get(name, "base" if name in TRIVIALISED else "point")
    assert found.free_norm == (0 if name in TRIVIALISED else None)
    assert found.defect is None if found.kind == "packed" else found.defect <= stiefel.get(name).claims.residual


@pytest.mark.parametrize(
    ("shape", "rows", "side"),
    [
        ((7, 3), 7, "columns"),
        ((3, 7), 3, "rows"),
        ((4, 4), 4, "columns"),
        ((5, 2, 3, 3), 5, "rows"),
        ((9, 2, 3), 9, "columns"),
    ],
    ids=str,
)
def test_a_plain_orthonormal_tensor_is_found_whatever_its_layout(shape: tuple[int, ...], rows: int, side: str) -> None:
    columns = math.prod(shape) // rows
    tall = stiefel.nearest_point(gaussian(max(rows, columns), min(rows, columns)))
    state = {"other": gaussian(7, 3), "w": (tall if rows >= columns else tall.mT).reshape(shape), "b": torch.ones(1)}
    (found,) = stiefel.inspect_state_dict(state)
    assert (found.tensor, found.kind, found.shape, found.side) == ("w", "plain", shape, side)
    assert found.defect == pytest.approx(stiefel.residual_in_eps(tall))


def test_a_batch_of_orthonormal_matrices_is_found() -> None:
    (found,) = stiefel.inspect_state_dict({"w": stiefel.random_point(3, 6, 4).mT})
    assert (found.shape, found.side) == ((3, 4, 6), "rows")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(3),
        torch.zeros(0, 4),
        torch.eye(3, dtype=torch.int64),
        torch.full((3, 3), -math.inf),
        1.01 * gaussian(4, 4),
    ],
    ids=["vector", "empty", "integers", "infinite mask", "Gaussian"],
)
def test_other_tensors_are_passed_over(tensor: Tensor) -> None:
    assert stiefel.inspect_state_dict({"w": tensor, "step": 3}) == []


def test_the_defect_of_a_stored_matrix_is_in_units_of_its_dtype() -> None:
    point = stiefel.random_point(64, 8)
    (single,), (half,) = (stiefel.inspect_state_dict({"w": each}) for each in (point, point.bfloat16().float()))
    assert single.defect <= 1
    # A weight that went through bfloat16 is 1e-3 to 1e-2 off, thousands of float32's units.
    assert half.defect > 100


def digest_first(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


@pytest.mark.parametrize("home", ["model", "module", "state_dict", None])
def test_inspect_prints_a_row_for_each_orthonormal_matrix(
    home: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = nn.Sequential(attached("cayley", 6, 4), nn.Linear(4, 2)).state_dict()
    torch.save(state if home is None else {"epoch": 3, home: state}, tmp_path / "a.pt")
    assert main(["inspect", str(tmp_path / "a.pt")]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["tensor", "shape", "orthonormal", "defect", "in", "n·eps", "kind"]
    assert row.startswith("0.weight  6 × 4  columns")
    assert row.endswith("base of a parameterisation, ‖F‖₂ = 0")


def test_inspect_prints_json_that_any_parser_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = attached("householder", 6, 4).state_dict()
    torch.save(state, tmp_path / "a.pth")
    assert main(["inspect", str(tmp_path / "a.pth"), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    (found,) = stiefel.inspect_state_dict(state)
    assert listed == [asdict(found) | {"shape": [6, 4]}]


def test_inspect_says_when_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"w": torch.ones(3, 2)}, tmp_path / "a.pt")
    assert main(["inspect", str(tmp_path / "a.pt")]) == 0
    assert capsys.readouterr().out == f"no matrix in {tmp_path / 'a.pt'} is orthonormal\n"


@pytest.mark.parametrize("size", [(6, 4), (3, 9)], ids=str)
def test_a_checkpoint_of_distill_and_an_older_format_are_read(size: tuple[int, int], tmp_path: Path) -> None:
    state = attached("polar", *size).state_dict()
    (tmp_path / "checkpoints").mkdir()
    ours, old = checkpoint.save(tmp_path, 1, {"step": 1, "module": state}), tmp_path / "old.pt"
    torch.save({"module": state}, old, _use_new_zipfile_serialization=False)
    for file in (ours, old):
        read = read_state_dict(file)
        assert list(read) == list(state)
        assert stiefel.inspect_state_dict(read) == stiefel.inspect_state_dict(state)


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    state = {"w": stiefel.random_point(5, 3)}
    save_file(state, tmp_path / "a.safetensors")
    assert torch.equal(read_state_dict(tmp_path / "a.safetensors")["w"], state["w"])


class Harmful:
    """What a pickle can't be allowed to run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def saved(state: object) -> bytes:
    return digest_first(state)[32:]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pt", None, "No such file or directory"),
        ("a.pt", b"", "it is empty"),
        ("a.pt", b"hello", "it isn't what torch.save, distill and safetensors write"),
        ("a.safetensors", b"hello", "it isn't what torch.save, distill and safetensors write"),
        ("a.pt", saved({"w": torch.eye(3)})[:-40], "it isn't what torch.save, distill and safetensors write"),
        ("a.pt", saved(Harmful()), "or holds more than tensors"),
        ("a.pt", flipped(digest_first({"w": torch.eye(3)})), "its content doesn't match its hash"),
        ("a.pt", saved({}), "it holds no state_dict with tensors"),
        ("a.pt", saved({"model": {"step": 3}}), "it holds no state_dict with tensors"),
        ("a.pt", saved(torch.eye(3)), "it holds no state_dict with tensors"),
        ("a.pt", saved({"m": {"w": 1}, "w": torch.tensor([[math.nan]])}), "w must be finite, got 1 NaN"),
    ],
    ids=["missing", "empty", "text", "bad safetensors", "cut", "code", "bit", "nothing", "no tensors", "tensor", "NaN"],
)
def test_a_file_that_cannot_be_inspected_ends_with_two_and_one_sentence(
    name: str, content: bytes | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["inspect", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("stiefel: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_a_folder_is_not_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("name", TRIVIALISED)
def test_cached_weights_share_one_graph_that_one_backward_may_use(name: str) -> None:
    layer, twin = attached(name, 6, 4), attached(name, 6, 4)
    batches = gaussian(3, 2, 4)
    with stiefel.cached():
        assert layer.weight is layer.weight
        sum(layer(batch).square().mul(torch.arange(6.0)).sum() for batch in batches).backward()
    for batch in batches:
        twin(batch).square().mul(torch.arange(6.0)).sum().backward()
    gradient, expected = (each.parametrizations.weight.original.grad for each in (layer, twin))
    assert (gradient - expected).norm() <= 100 * EPS * expected.norm()
    with stiefel.cached():
        layer(batches[0]).sum().backward()
        second = layer(batches[1]).sum()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            second.backward()


def test_a_cached_weight_is_stale_inside_and_fresh_after() -> None:
    layer = attached("cayley", 4, 4)
    with stiefel.cached():
        before = layer.weight
        layer.weight = torch.eye(4, dtype=torch.float64)
        assert layer.weight is before
    assert (layer.weight - torch.eye(4)).abs().max() <= 30 * 4 * EPS


@pytest.mark.parametrize("name", NAMES)
def test_no_weight_of_ours_drifts(name: str) -> None:
    model = nn.Sequential(attached(name, 6, 4), nn.Tanh(), attached(name, 3, 6))
    optimiser = stiefel.optim.build(model, "sgd", lr=0.05)
    earlier = stiefel.diagnose(model)
    for step in range(50):
        optimiser.zero_grad()
        model(gaussian(8, 4, seed=step)).square().sum().backward()
        optimiser.step()
    found = stiefel.drift(earlier, stiefel.diagnose(model), steps=50)
    assert list(found) == ["0.weight", "2.weight"]
    assert all(abs(each) <= stiefel.get(name).claims.residual / 50 for each in found.values())


def test_drift_is_the_defect_gained_a_step() -> None:
    layer = attached("riemannian", 6, 4)
    earlier = stiefel.diagnose(layer)
    layer.parametrizations.weight.original.data.mul_(1 + 1e-12)
    (later,) = stiefel.diagnose(layer)
    assert stiefel.drift(earlier, [later], steps=10) == {"weight": (later.defect - earlier[0].defect) / 10}
    assert later.defect > earlier[0].defect + 100
    with pytest.raises(stiefel.StiefelError, match="steps must be >= 1, got 0"):
        stiefel.drift(earlier, [later], steps=0)
