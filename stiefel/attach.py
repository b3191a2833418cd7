"""Put a parameterisation on a module's weight, and take it off: where wide, low precision and autocast are settled.

stiefel.attach(layer, "weight", by="cayley")
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, TypeVar, cast

import torch
from jaxtyping import Inexact
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stiefel import registry
from stiefel.base import Parameterisation
from stiefel.errors import AttachedError, DTypeError, NotAttachedError, ShapeError
from stiefel.linalg import newton_schulz_step
from stiefel.manifold import FIELDS, nearest_point
from stiefel.precision import full_precision

Module = TypeVar("Module", bound=nn.Module)


class OnStiefel(nn.Module):
    """The `torch.nn.utils.parametrize` adapter: any weight layout and storage dtype around a tall float32 map.

    The free tensor has the shape of the tall point, `(*batch, n, p)`, whatever the weight's layout, so the flag
    changes neither checkpoint shapes nor parameter groups. A weight with fewer rows than columns gets
    orthonormal rows; a convolution's kernel is the matrix (out, in·k·k).
    """

    def __init__(
        self,
        weight: Tensor,
        by: str,
        *,
        kernel_dims: int = 0,
        polish: bool = False,
        determinant: Literal[1, -1] | None = None,
    ):
        super().__init__()
        self.polish = polish
        self.determinant: Literal[1, -1] | None = determinant
        if not (weight.is_floating_point() or weight.is_complex()):
            raise DTypeError("weight", "a floating-point tensor", weight.dtype)
        self.weight_shape = weight.shape
        matrix = weight.flatten(-1 - kernel_dims) if kernel_dims else weight
        if matrix.ndim < 2 or matrix.numel() == 0:
            cure = "a vector or an empty tensor has no orthonormal columns"
            raise ShapeError("weight", "(*batch, rows, columns) with rows, columns >= 1", weight.shape, cure=cure)
        self.matrix_shape = matrix.shape
        self.is_wide = matrix.shape[-2] < matrix.shape[-1]
        tall = matrix.mH.shape if self.is_wide else matrix.shape
        self.map: Parameterisation = registry.get(by)(*tall, dtype=_working(weight.dtype), device=weight.device)

    def forward(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "..."]:
        with full_precision(free.device):
            point = self.map(free.to(_working(free.dtype)))
            if self.polish:
                point = newton_schulz_step(point)
        return self.weight_of(point).to(free.dtype)

    def right_inverse(self, weight: Inexact[Tensor, "..."]) -> Inexact[Tensor, "*b n p"]:
        if weight.shape != self.weight_shape:
            raise ShapeError("weight", str(tuple(self.weight_shape)), weight.shape, cure="assign one of that shape")
        tall = self.tall_of(weight.detach()).to(_working(weight.dtype))
        if self.determinant is not None:
            tall = nearest_point(tall, determinant=self.determinant)
        free = self.map.right_inverse(tall)
        return free.to(weight.dtype)

    def weight_of(self, point: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "..."]:
        """Return a tall point in the layout of the weight."""
        matrix = point.mH if self.is_wide else point
        return matrix.reshape(self.weight_shape)

    def tall_of(self, weight: Inexact[Tensor, "..."]) -> Inexact[Tensor, "*b n p"]:
        """Return the tall matrix of a weight: the inverse of `weight_of`."""
        matrix = weight.reshape(self.matrix_shape)
        return matrix.mH if self.is_wide else matrix


def attach(
    module: Module,
    tensor_name: str = "weight",
    *,
    by: str = "cayley",
    polish: bool = False,
    determinant: Literal[1, -1] | None = None,
) -> Module:
    """Keep `module.<tensor_name>` orthonormal from now on: the nearest orthonormal matrix now, trained by `by`.

    The weight `(*batch, rows, columns)` gets orthonormal columns if rows >= columns, else orthonormal rows. It
    stays readable and assignable as before; what is trained is `module.parametrizations.<tensor_name>.original`,
    so build the optimiser afterwards. Works with state_dict, deepcopy and `parametrize.cached()`.

    `polish` adds one differentiable Newton-Schulz step, 4np² flops forward and 8np² backward: a defect of 100 n·eps,
    such as an exponential has far outside its domain (‖F‖₂ of 100), becomes one of less than 1.

    `determinant` puts a square weight among the rotations (1) or the reflections (−1). Training never leaves a
    component: every map is continuous in the free tensor, and the two don't meet.

    Raises: UnknownNameError, PluginError, ShapeError, DTypeError, NonFiniteError; AttachedError if it has one.
    """
    if _is_attached(module, tensor_name):
        raise AttachedError(module, tensor_name)
    weight = getattr(module, tensor_name, None)
    if not isinstance(weight, Tensor):
        raise NotAttachedError(module, tensor_name)
    kernel_dims = len(module.kernel_size) if isinstance(module, nn.modules.conv._ConvNd) else 0
    adapter = OnStiefel(weight, by, kernel_dims=kernel_dims, polish=polish, determinant=determinant)
    parametrize.register_parametrization(module, tensor_name, adapter)
    holder = _holder(module, tensor_name)
    holder.original = adapter.map.parameter(cast(nn.Parameter, holder.original))
    return module


def detach(module: Module, tensor_name: str = "weight") -> Module:
    """Leave the current point in `module.<tensor_name>` as an ordinary parameter, e.g. for inference."""
    adapter(module, tensor_name)
    parametrize.remove_parametrizations(module, tensor_name, leave_parametrized=True)
    # A fresh parameter: the trained one may be a point of geoopt's class, which a plain weight isn't any more.
    weight = getattr(module, tensor_name)
    setattr(module, tensor_name, nn.Parameter(weight.detach().clone(), weight.requires_grad))
    return module


@torch.no_grad()
def rebase(module: Module) -> Module:
    """Move the base of every parameterisation inside `module` to its current point; the weights stay as they are.

    Free tensors go back to 0 (dynamic trivialisation), and rounding drift is removed. An optimiser's moments
    refer to the old coordinates: reset them or expect one odd step.
    Source: Lezcano-Casado 2019.
    """
    for holder, each in attached(module):
        holder.original.copy_(each.right_inverse(each(holder.original)))
    return module


def adapter(module: nn.Module, tensor_name: str = "weight") -> OnStiefel:
    """Return what `attach` put on `module.<tensor_name>`; its `.map` is the parameterisation.

    Raises: NotAttachedError.
    """
    for each in _holder(module, tensor_name):
        if isinstance(each, OnStiefel):
            return each
    raise NotAttachedError(module, tensor_name)


def free_tensors(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the trained tensor of every parameterisation inside `module`.

    A tensor that needs a class of its own and lost it (`load_state_dict(…, assign=True)` makes a plain parameter
    of a geoopt one) gets it back first.
    """
    for holder, each in attached(module):
        holder.original = each.map.parameter(cast(nn.Parameter, holder.original))
        yield cast(nn.Parameter, holder.original)


def attached(module: nn.Module) -> Iterator[tuple[parametrize.ParametrizationList, OnStiefel]]:
    """Yield every parameterisation inside `module`, behind the list that holds its trained tensor as `original`."""
    for holder in module.modules():
        if isinstance(holder, parametrize.ParametrizationList):
            for each in holder:
                if isinstance(each, OnStiefel):
                    yield holder, each


def cached() -> AbstractContextManager[None]:
    """Return a context in which each weight is computed once, however often it is read.

    For inference: `with torch.no_grad(), stiefel.cached():`. For a weight that several forward passes share, as
    in gradient accumulation, add up the losses and call `backward` once inside: all passes share the weight's one
    graph, which a `backward` for each would free for the next. Take the optimiser's step, rebase, load and assign
    outside: inside, the old weight would be read again. It is `torch.nn.utils.parametrize.cached`, one cache for
    the whole process, emptied on leaving.
    """
    return parametrize.cached()


def _is_attached(module: nn.Module, tensor_name: str) -> bool:
    if not parametrize.is_parametrized(module, tensor_name):
        return False
    return any(isinstance(each, OnStiefel) for each in _holder(module, tensor_name))


def _holder(module: nn.Module, tensor_name: str) -> parametrize.ParametrizationList:
    if not parametrize.is_parametrized(module, tensor_name):
        raise NotAttachedError(module, tensor_name)
    holders = cast(nn.ModuleDict, module.parametrizations)
    return cast(parametrize.ParametrizationList, holders[tensor_name])


def _working(dtype: torch.dtype) -> torch.dtype:
    if dtype in FIELDS:
        return dtype
    return torch.complex64 if dtype.is_complex else torch.float32
