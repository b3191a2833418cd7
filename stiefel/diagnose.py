"""Look at orthonormal weights: how far off they are, and how far they have turned from their base.

stiefel inspect checkpoint.pt
"""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from jaxtyping import Inexact
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stiefel.attach import OnStiefel
from stiefel.errors import NonFiniteError, SettingError, StiefelError
from stiefel.linalg import widen
from stiefel.manifold import FIELDS, residual, residual_in_eps
from stiefel.parameterisations import REGISTRY
from stiefel.precision import full_precision

# A checkpoint's matrix counts as orthonormal up to this residual: a point stored in bfloat16 has 1e-2 or less.
NEARLY = 0.1
_FREE = re.compile(r"(?P<holder>(?P<module>.*\.)?parametrizations\.(?P<name>[^.]+))\.original")

_WRITERS = "torch.save, distill and safetensors"
# Where training loops keep a model's state_dict.
_HOMES = ("model", "module", "state_dict")
# `torch.save` writes a zip archive; a checkpoint of `distill train` is one behind its SHA-256 digest.
_ZIP = b"PK\x03\x04"
_DIGEST_BYTES = 32


class UnreadableError(StiefelError):
    """A file that gives no state_dict."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"can't read {str(path)!r}: {reason}; expected a checkpoint .pt, .pth or .safetensors")


@dataclass(frozen=True)
class Diagnosis:
    """How one attached weight stands; of a batch, its worst matrix.

    tensor: the weight's path in the module, as `layers.0.weight`.
    parameterisation: its registered name, or `module:Class`.
    shape: (*batch, n, p) of the tall point.
    defect: ‖XᵀX − I‖₁ in units of n·eps of the weight's dtype.
    determinant: the sign of det X if n = p, 0 for a batch with both signs; None if n > p or X is complex.
    free_norm: spectral norm of the free tensor.
    domain: the largest free_norm for which the parameterisation makes its claims.
    turn: the largest angle in [0, π] between X0·v and X·v over all v, X0 the point of the zero free tensor. It is
        2·asin(‖X − X0‖₂/2), good to n·eps, near π to a few √eps of float64; where n = p, the largest angle of an
        eigenvalue of X0ᵀX. None if the parameter is the point itself, which has no base.
    half_turn_distance: smallest singular value of I + X0ᵀX: 2 at the base, 0 at a point that Cayley can't reach.
        Where n = p it is the distance of −1 from the eigenvalues of X0ᵀX. None as `turn` is.
    """

    tensor: str
    parameterisation: str
    shape: tuple[int, ...]
    defect: float
    determinant: int | None
    free_norm: float
    domain: float
    turn: float | None
    half_turn_distance: float | None


@dataclass(frozen=True)
class StoredMatrix:
    """An orthonormal matrix of a state_dict, or the parameterisation of one.

    tensor: its key; for a parameterisation, the path of the weight.
    kind: "plain"; "point" for a parameterisation whose parameter is the point itself; "base" for one with a base
        and a free tensor; "packed" if its base is no point (Householder's packs reflectors, Givens' angles).
    shape: as stored.
    side: which of its columns or rows can be orthonormal: columns if it is square or tall.
    defect: ‖XᵀX − I‖₁ in units of n·eps of the stored dtype, of the base if the kind is "base"; None if "packed".
    free_norm: spectral norm of the free tensor, None for kinds without one. A state_dict doesn't say which map
        it belongs to, so the weight itself can't be had from it.
    """

    tensor: str
    kind: Literal["plain", "point", "base", "packed"]
    shape: tuple[int, ...]
    side: Literal["columns", "rows"]
    defect: float | None
    free_norm: float | None


@torch.no_grad()
def diagnose(module: nn.Module) -> list[Diagnosis]:
    """Return how every attached weight inside `module` stands, in the order of `named_modules`.

    Rebase where `turn` nears π or `free_norm` its domain. Cost of each: two forward passes and three
    decompositions of n × p or p × p in float64. Nothing is changed.

    Raises: NonFiniteError with the path of the weight.
    """
    return [_diagnosis(*each) for each in attached_weights(module)]


def drift(earlier: Sequence[Diagnosis], later: Sequence[Diagnosis], *, steps: int) -> dict[str, float]:
    """Return by how much each weight's defect grew a step, in n·eps, between two diagnoses `steps` steps apart.

    A map of a free tensor doesn't drift, as its defect is that of one evaluation: expect rounding over `steps`. A point
    that an optimiser retracts may: ours stays level, and 1e-3 would pass LAPACK's limit of 30 after 30 000 steps.

    Raises: SettingError unless steps >= 1; KeyError for a weight that the earlier diagnosis lacks.
    """
    if steps < 1:
        raise SettingError("steps", ">= 1", steps)
    before = {each.tensor: each.defect for each in earlier}
    return {each.tensor: (each.defect - before[each.tensor]) / steps for each in later}


def inspect_state_dict(state: Mapping[str, object]) -> list[StoredMatrix]:
    """Return the orthonormal matrices (residual <= 0.1) and the parameterisations of a state_dict, in its order.

    A tensor of three or more dimensions is read as a kernel, (out, in·k·k), and as a batch of matrices if that
    isn't orthonormal. Values that aren't dense floating-point or complex tensors are passed over.

    Cost: one product min(n, p)²·max(n, p) in float64 for each matrix.
    Raises: NonFiniteError with the key of a tensor that holds NaN. Infinities are allowed outside
    parameterisations: attention masks are stored with them.
    """
    return [matrix for matrix, _ in stored_matrices(state)]


def stored_matrices(state: Mapping[str, object]) -> list[tuple[StoredMatrix, Tensor | None]]:
    """Return what `inspect_state_dict` does, each beside its orthonormal matrix, tall; None if it is packed."""
    tensors = {
        key: value
        for key, value in state.items()
        if isinstance(value, Tensor)
        and value.layout is torch.strided
        and (value.is_floating_point() or value.is_complex())
    }
    for key, tensor in tensors.items():
        _refuse(key, tensor, tensor.isnan())
    pairs = dict(_pairs(tensors))
    bases = {base for _, base in pairs.values()}
    found = []
    for key, tensor in tensors.items():
        if key in pairs:
            path, base = pairs[key]
            found.append(_parameterised(path, tensor, tensors[base]))
        elif key not in bases and tensor.ndim >= 2 and tensor.numel():
            found.extend(_plain(key, tensor))
    return found


def read_state_dict(path: Path) -> dict[str, object]:
    """Return the state_dict in a file of `torch.save`, `distill train` or safetensors, on the CPU.

    In a dictionary that holds it under "model", "module" or "state_dict", it is found there. No code in the file
    is ever executed; memory is that of the whole file.

    Raises: UnreadableError.
    """
    try:
        loaded = _load(path)
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    except Exception as error:
        # Bytes of unknown origin make the two readers raise almost anything, in many lines.
        raise UnreadableError(path, f"it isn't what {_WRITERS} write, or holds more than tensors") from error
    for found in (*(loaded.get(key) for key in _HOMES), loaded) if isinstance(loaded, Mapping) else ():
        if isinstance(found, Mapping) and any(isinstance(value, Tensor) for value in found.values()):
            return {str(key): value for key, value in found.items()}
    raise UnreadableError(path, "it holds no state_dict with tensors")


def attached_weights(module: nn.Module) -> Iterator[tuple[str, Tensor, OnStiefel]]:
    """Yield (path of the weight, its trained tensor, its adapter) of every parameterisation inside `module`."""
    for prefix, owner in module.named_modules():
        if parametrize.is_parametrized(owner):
            for name, holder in cast(nn.ModuleDict, owner.parametrizations).items():
                for each in cast(parametrize.ParametrizationList, holder):
                    if isinstance(each, OnStiefel):
                        yield f"{prefix}.{name}".lstrip("."), cast(Tensor, holder.original), each


def name_of(by: type[nn.Module]) -> str:
    """Return the registered name of a map, `module:Class` of one that isn't registered."""
    reference = f"{by.__module__}:{by.__qualname__}"
    return next((name for name, registered in REGISTRY.items() if registered == reference), reference)


def _load(path: Path) -> object:
    with path.open("rb") as file:
        head = file.read(_DIGEST_BYTES + len(_ZIP))
    if not head:
        raise UnreadableError(path, "it is empty")
    if path.suffix == ".safetensors":
        return load_file(path)
    if head.startswith(_ZIP) or not head.endswith(_ZIP):
        return torch.load(path, weights_only=True, map_location="cpu")
    content = path.read_bytes()
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise UnreadableError(path, "its content doesn't match its hash")
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def _diagnosis(path: str, free: Tensor, adapter: OnStiefel) -> Diagnosis:
    _refuse(path, free, ~free.isfinite())
    each = adapter.map
    working = free if free.dtype in FIELDS else free.float()
    with full_precision(free.device):
        point, base = each(working), widen(each(torch.zeros_like(working)))
    turn = distance = None
    if each.claims.optimiser == "any":
        wide = widen(point)
        turn = float(2 * (torch.linalg.matrix_norm(wide - base, ord=2) / 2).clamp_max(1).asin().amax())
        inner = base.mH @ wide
        eye = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
        distance = float(torch.linalg.matrix_norm(eye + inner, ord=-2).amin())
    return Diagnosis(
        tensor=path,
        parameterisation=name_of(type(each)),
        shape=tuple(point.shape),
        defect=residual_in_eps(point.to(free.dtype)),
        determinant=_determinant(point),
        free_norm=_spectral_norm(free),
        domain=each.claims.domain,
        turn=turn,
        half_turn_distance=distance,
    )


def _determinant(point: Inexact[Tensor, "*b n p"]) -> int | None:
    if point.shape[-2] != point.shape[-1] or point.is_complex():
        return None
    signs = torch.linalg.det(point.double()).sign().flatten()
    return int(signs[0]) if bool((signs == signs[0]).all()) else 0


def _spectral_norm(matrix: Inexact[Tensor, "*b n p"]) -> float:
    return float(torch.linalg.matrix_norm(widen(matrix), ord=2).amax())


def _refuse(name: str, tensor: Tensor, bad: Tensor) -> None:
    if bool(bad.any()):
        raise NonFiniteError(name, int(bad.sum()), tensor.numel())


def _pairs(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (key of the free tensor, (path of the weight, key of the base)) of each parameterisation of ours."""
    for key in tensors:
        if free := _FREE.fullmatch(key):
            base_key = re.compile(re.escape(free["holder"]) + r"\.\d+\.map\.base")
            for base in filter(base_key.fullmatch, tensors):
                yield key, (f"{free['module'] or ''}{free['name']}", base)


def _parameterised(path: str, free: Tensor, base: Tensor) -> tuple[StoredMatrix, Tensor | None]:
    _refuse(path, free, ~free.isfinite())
    shape = tuple(free.shape)
    if _is_orthonormal(free):
        return StoredMatrix(path, "point", shape, "columns", residual_in_eps(free), None), free
    if _is_orthonormal(base):
        return StoredMatrix(path, "base", shape, "columns", residual_in_eps(base), _spectral_norm(free)), base
    return StoredMatrix(path, "packed", shape, "columns", None, _spectral_norm(free)), None


def _plain(key: str, tensor: Tensor) -> Iterator[tuple[StoredMatrix, Tensor]]:
    """Yield `tensor` in the first of its readings, as a kernel or as a batch, that is nearly orthonormal."""
    for matrix in (tensor.flatten(1), tensor) if tensor.ndim > 2 else (tensor,):
        is_wide = matrix.shape[-2] < matrix.shape[-1]
        tall = matrix.mH if is_wide else matrix
        if _is_orthonormal(tall):
            side = "rows" if is_wide else "columns"
            yield StoredMatrix(key, "plain", tuple(tensor.shape), side, residual_in_eps(tall), None), tall
            return


def _is_orthonormal(matrix: Inexact[Tensor, "*b n p"]) -> bool:
    return bool((residual(matrix) <= NEARLY).all())
