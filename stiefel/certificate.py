"""Certificates: rigorous bounds for the orthonormal matrices of one file, tied to its very bytes by SHA-256.

certificate = certify(Path("checkpoint.pt"))
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stiefel.attach import OnStiefel
from stiefel.bounds import Enclose, defect_bounds, enclose_defect, upwards
from stiefel.diagnose import StoredMatrix, attached_weights, name_of, read_state_dict, stored_matrices
from stiefel.distances import Distance, map_distance

SPLITTING = "float64 splitting"
# A claim is a bound and this much more, so that the last digits of another machine can't refute it.
MARGIN = 1e-4
# (name, X, bound) -> how ‖XᵀX − I‖_F <= bound is proved of these floats, or None if it isn't.
Prove = Callable[[str, Tensor, float], str | None]
_Claims = Callable[[str, Tensor], dict[str, Any]]
# Of a claim, rounded up. The margin is many times the width of a double, so the nearest double is still above.
_DIGITS = Context(prec=5, rounding=ROUND_CEILING)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the file. sha256: of its values' bytes, row by row."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class CertifiedMatrix:
    """Claims about a matrix X (about each one of a batch): bounds on E = XᵀX − I, or XXᵀ − I of orthonormal rows.

    tensor: its key in the state_dict; if it is parameterised, the path of the weight.
    kind: "plain", "point" or "base" for a tensor of the file, as `stiefel.StoredMatrix` has them; "weight" for what a
        map computes from tensors of the file, with the roundings of the machine that certified it.
    side: which of its columns or rows are orthonormal.
    tall_shape: (*batch, n, p) of X, or of Xᵀ if its rows are orthonormal, as a kernel or a batch is read.
    sha256: of that tall matrix's bytes, row by row.
    frobenius, spectral, entry: ‖E‖_F, ‖E‖₂ and the largest |E_ij|.
    lapack_ratio: ‖E‖₁ in units of n·eps of its dtype; LAPACK's own tests accept 30.
    parameterisation: of a "weight", its map.
    map_distance: of a "weight", ‖X − exact value of its map‖_F or more; None if no bound is known.
    proved: how a proof assistant's kernel was given `frobenius` to check; None if it wasn't.
    """

    tensor: str
    kind: str
    shape: tuple[int, ...]
    side: str
    tall_shape: tuple[int, ...]
    dtype: str
    sha256: str
    frobenius: float
    spectral: float
    entry: float
    lapack_ratio: float
    parameterisation: str | None = None
    map_distance: float | None = None
    proved: str | None = None


@dataclass(frozen=True)
class Certificate:
    """What is certified of one file.

    sha256: of the whole file. arithmetic: how the bounds were computed. torch: the version that computed the weights.
    tensors: every dense one of the file. matrices: those that are certified. uncertified: those that can't be, and why.
    """

    file: str
    sha256: str
    arithmetic: str
    torch: str
    tensors: tuple[StoredTensor, ...]
    matrices: tuple[CertifiedMatrix, ...]
    uncertified: dict[str, str]


@torch.no_grad()
def certify(
    path: Path,
    *,
    module: nn.Module | None = None,
    arithmetic: str = SPLITTING,
    enclose: Enclose = enclose_defect,
    distance: Distance = map_distance,
    prove: Prove | None = None,
    margin: float = MARGIN,
) -> Certificate:
    """Return the certificate of a checkpoint: bounds for every matrix of it that is orthonormal (residual <= 0.1).

    `module` is the one that the file was saved from, its weights loaded: what its parameterisations compute is
    certified too. A state_dict alone doesn't say which map its free tensors belong to. `prove` has each claimed
    Frobenius bound proved as well.
    Cost: 8np² flops in float64 for each matrix, and memory of the whole file.
    Raises: UnreadableError; NonFiniteError with the name of a tensor that holds NaN; OutOfRangeError.
    """
    state = read_state_dict(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    held = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    tensors = {name: value for name, value in held.items() if value.layout is torch.strided}
    stored = stored_matrices(state)
    claims = partial(_claims, enclose=enclose, prove=prove, margin=margin)
    matrices = [_of_file(each, tall, claims) for each, tall in stored if tall is not None]
    if module is not None:
        matrices += [_of_module(*each, claims, distance, margin) for each in attached_weights(module)]
    return Certificate(
        file=path.name,
        sha256=digest,
        arithmetic=arithmetic,
        torch=torch.__version__,
        tensors=tuple(_record(name, each) for name, each in tensors.items()),
        matrices=tuple(matrices),
        uncertified=_packed(stored, matrices) | _infinite(tensors) | _sparse(held),
    )


def tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes, row by row whatever its strides."""
    flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()


def _record(name: str, tensor: Tensor) -> StoredTensor:
    return StoredTensor(name, _word(tensor.dtype), tuple(tensor.shape), tensor_digest(tensor))


def _of_file(stored: StoredMatrix, tall: Tensor, claims: _Claims) -> CertifiedMatrix:
    return CertifiedMatrix(stored.tensor, stored.kind, stored.shape, stored.side, **claims(stored.tensor, tall))


def _of_module(
    name: str, free: Tensor, adapter: OnStiefel, claims: _Claims, distance: Distance, margin: float
) -> CertifiedMatrix:
    weight = adapter(free)
    tall = adapter.tall_of(weight)
    how_far = distance(adapter.map, free, tall)
    return CertifiedMatrix(
        name,
        "weight",
        tuple(weight.shape),
        "rows" if adapter.is_wide else "columns",
        parameterisation=name_of(type(adapter.map)),
        map_distance=None if how_far is None else _claim(how_far, margin),
        **claims(name, tall),
    )


def _claims(name: str, tall: Tensor, *, enclose: Enclose, prove: Prove | None, margin: float) -> dict[str, Any]:
    """Return the fields of a CertifiedMatrix that follow from the matrix alone."""
    found = defect_bounds(tall, enclose=enclose)
    ratio = upwards(found.one / (tall.shape[-2] * torch.finfo(tall.dtype).eps))
    values = {"frobenius": found.frobenius, "spectral": found.spectral, "entry": found.entry, "lapack_ratio": ratio}
    identity = {"tall_shape": tuple(tall.shape), "dtype": _word(tall.dtype), "sha256": tensor_digest(tall)}
    claimed = {field: _claim(value, margin) for field, value in values.items()}
    return identity | claimed | {"proved": None if prove is None else prove(name, tall, claimed["frobenius"])}


def _packed(
    stored: Iterable[tuple[StoredMatrix, Tensor | None]], certified: Iterable[CertifiedMatrix]
) -> dict[str, str]:
    reason = "its base packs reflectors or angles, and a state_dict doesn't name the map"
    known = {each.tensor for each in certified}
    return {each.tensor: reason for each, tall in stored if tall is None and each.tensor not in known}


def _infinite(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    # torch has no isinf for formats of one byte.
    wider = {name: each.float() if each.dtype.itemsize == 1 else each for name, each in tensors.items()}
    counts = {name: int(each.isinf().sum()) for name, each in wider.items()}
    return {name: f"infinite entries: {count} of {tensors[name].numel()}" for name, count in counts.items() if count}


def _sparse(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    layouts = {name: each.layout for name, each in tensors.items() if each.layout is not torch.strided}
    return {name: f"its layout is {layout}; only the file's hash covers it" for name, layout in layouts.items()}


def _claim(bound: float, margin: float) -> float:
    """Return a bound with its margin, rounded up to five digits; without a margin, the bound itself."""
    return float(_DIGITS.create_decimal(bound * (1 + margin))) if margin else bound


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
