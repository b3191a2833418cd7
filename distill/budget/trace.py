"""What one training step does: its operators with their flops, bytes and shapes, and the memory that it holds.

with Trace(task.parts()) as trace: step()
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _get_sequence_nr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from distill.budget import flops
from distill.budget.sheet import ATTENTION, CONVOLUTION, ENTRYWISE, PRODUCT, SPECIAL, VIEW

OPTIMISER, OTHER = "optimiser", "other"

# Which argument of a product is its left factor.
_PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addmv": 1, "linalg_matrix_exp": 0}
_CONVOLUTIONS = ("convolution", "convolution_backward", "_slow_conv2d_forward")
_SPECIAL = (
    *("gelu", "gelu_backward", "_softmax", "_log_softmax", "exp", "log", "erf", "tanh", "sigmoid", "pow"),
    *("native_layer_norm", "native_layer_norm_backward"),
)
_FACTORISATIONS = {
    "linalg_cholesky_ex": "cholesky",
    "linalg_lu_factor_ex": "lu",
    "linalg_lu": "lu",
    "_linalg_det": "lu",
    "_linalg_solve_ex": "lu",
    "linalg_inv_ex": "inverse",
    "cholesky_inverse": "inverse",
    "linalg_solve_triangular": "triangular_solve",
    "cholesky_solve": "triangular_solve",
    "linalg_lu_solve": "triangular_solve",
    "linalg_qr": "qr",
    "geqrf": "qr",
    "linalg_householder_product": "qr",
    "_linalg_eigh": "eigh",
    "_linalg_svd": "svd",
}
_FREE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_local_scalar_dense")
# An optimiser fills its state at its first step and at no other.
_STATE = ("zeros", "zeros_like")
_ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"


@dataclass(frozen=True)
class Operation:
    """One call of an operator.

    name: aten's, without overload. part: what it was called for. kind: of `distill.budget.sheet`, or a
    factorisation. sizes: (batch, m, n, k) of a product and of attention, (batch, p) of a factorisation.
    entries: of what it writes.
    """

    name: str
    part: str
    kind: str
    dtype: str
    flops: int
    bytes: int
    entries: int
    sizes: tuple[int, ...]


class Trace(TorchDispatchMode):
    """The operators that run inside, each with the number of its calls, forward and backward.

    parts: modules whose work is told apart, a backward pass counted with its forward pass. What runs outside of
    all of them without gradients is the optimiser's (clipping and averaging too); the rest is other.
    Allocations aren't recorded. In-place products count as the others, which torch's own
    counter leaves out.
    peak_bytes: the most that is held at once: results alive, and all that was there before and is used.
    """

    def __init__(self, parts: Mapping[str, Sequence[nn.Module]]):
        super().__init__()
        self.operations: Counter[Operation] = Counter()
        self.peak_bytes = 0
        self._parts = parts
        self._hooks = ExitStack()
        self._inside: list[tuple[str, int]] = []
        self._ranges: list[tuple[int, int, str]] = []
        self._storages: set[int] = set()
        self._resident = self._alive = 0

    @property
    def flops(self) -> int:
        """All operators' together; one multiply-add is 2."""
        return sum(operation.flops * count for operation, count in self.operations.items())

    def __enter__(self) -> "Trace":
        for part, modules in self._parts.items():
            for module in modules:
                before = module.register_forward_pre_hook(lambda *_, part=part: self._enter(part))
                after = module.register_forward_hook(lambda *_: self._leave(), always_call=True)
                self._hooks.callback(before.remove)
                self._hooks.callback(after.remove)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._hooks.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        for tensor in given:
            self._hold(tensor, is_result=False)
        result = func(*args, **kwargs)
        operation = _operation(func, args, kwargs, given, result, self._part())
        if operation is not None:
            self.operations[operation] += 1
        for tensor in _tensors(result):
            self._hold(tensor, is_result=True)
        return result

    def _enter(self, part: str) -> None:
        self._inside.append((part, _get_sequence_nr()))

    def _leave(self) -> None:
        part, start = self._inside.pop()
        self._ranges.append((start, _get_sequence_nr(), part))

    def _part(self) -> str:
        if self._inside:
            return self._inside[-1][0]
        node = torch._C._current_autograd_node()
        if node is not None:
            # Autograd numbers its nodes in the order of the forward pass. Inner modules have been left first.
            number = node._sequence_nr()
            return next((part for start, stop, part in self._ranges if start <= number < stop), OTHER)
        return OTHER if torch.is_grad_enabled() else OPTIMISER

    def _hold(self, tensor: Tensor, *, is_result: bool) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
        weakref.finalize(storage, self._drop, key, size if is_result else 0)
        if is_result:
            self._alive += size
        else:
            self._resident += size
        self.peak_bytes = max(self.peak_bytes, self._alive + self._resident)

    def _drop(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self._alive -= size


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _operation(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor], result: Any, part: str
) -> Operation | None:
    name = func._overloadpacket.__name__
    plain = name.removesuffix("_") if func._schema.is_mutable else name
    written = _written(func, args, kwargs) or list(_tensors(result))
    if plain in _FREE or (part == OPTIMISER and plain in _STATE):
        return None
    if not func._schema.is_mutable and _storages(written) <= _storages(given):
        return Operation(plain, part, VIEW, "", 0, 0, 0, ())
    floats = [tensor.dtype for tensor in [*given, *written] if tensor.is_floating_point() or tensor.is_complex()]
    kind, sizes = _kind(plain, args, given, written)
    return Operation(
        name=plain,
        part=part,
        kind=kind,
        dtype=str(floats[0]).removeprefix("torch.") if floats else "float32",
        flops=_flops(plain, args, kwargs, result),
        bytes=sum(_bytes(tensor) for tensor in {id(tensor): tensor for tensor in given}.values())
        + sum(_bytes(tensor) for tensor in written),
        entries=sum(tensor.numel() for tensor in written),
        sizes=sizes,
    )


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the arguments that an operator writes to."""
    places = [
        place for place, each in enumerate(func._schema.arguments) if each.alias_info and each.alias_info.is_write
    ]
    names = [func._schema.arguments[place].name for place in places]
    return list(
        _tensors([*(args[place] for place in places if place < len(args)), *(kwargs.get(name) for name in names)])
    )


def _kind(name: str, args: tuple[Any, ...], given: list[Tensor], written: list[Tensor]) -> tuple[str, tuple[int, ...]]:
    if name in _PRODUCTS:
        shape = (1, 1, *written[0].shape)[-max(3, written[0].ndim + (written[0].ndim < 2)) :]
        inner = args[_PRODUCTS[name]].shape[-1]
        return PRODUCT, (prod(shape[:-2]), shape[-2], shape[-1], inner)
    if name in _FACTORISATIONS:
        shape = args[0].shape
        return _FACTORISATIONS[name], (prod(shape[:-2]), min(shape[-2:]))
    if name in _CONVOLUTIONS:
        return CONVOLUTION, ()
    if "scaled_dot_product" in name:
        query, key = (given[place + ("backward" in name)].shape for place in (0, 1))
        return ATTENTION, (prod(query[:-2]), query[-2], key[-2], query[-1])
    return (SPECIAL if name in _SPECIAL or any(map(_is_out_of_order, given)) else ENTRYWISE), ()


def _flops(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    if name == _ATTENTION:
        query, key, value = (tensor.shape for tensor in args[:3])
        return sdpa_flop_count(query, key, value)
    if name == f"{_ATTENTION}_backward":
        grad, query, key, value = (tensor.shape for tensor in args[:4])
        return sdpa_backward_flop_count(grad, query, key, value)
    packet = getattr(torch.ops.aten, name, None)
    formula: Callable[..., int] | None = _REGISTRY.get(packet)
    return int(formula(*args, **kwargs, out_val=result)) if formula is not None else 0


_REGISTRY = flops.counter().flop_registry


def _is_out_of_order(tensor: Tensor) -> bool:
    # An expanded tensor (a stride of 0) is read from the cache over and over.
    return not tensor.is_contiguous() and 0 not in tensor.stride()


def _bytes(tensor: Tensor) -> int:
    # An expanded tensor is read no further than its storage goes.
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.untyped_storage()._cdata for tensor in tensors}
