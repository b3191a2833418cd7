"""Make a torch cost of points a problem of pymanopt's: numpy arrays in, cost and derivatives out."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from stiefel.errors import CostError
from stiefel.manifold import nearest_point

Retraction = Literal["polar", "qr"]
RETRACTIONS = get_args(Retraction)

# A sum in another order, on a GPU, moves a float32 loss by 1e-6 of itself; dropout moves it by some per cent.
_REPEATABLE = 1e-4
# A cost that is 0 at the start has no digits to compare.
_NOUGHT = 1e-6


def build_problem(cost: Callable[..., Tensor], starts: Sequence[Tensor], retraction: Retraction) -> Any:
    """Return the `pymanopt.Problem` of `cost` on the product of the manifolds of `starts`, derivatives included.

    The derivatives are ours: those of pymanopt's torch backend (2.2.1) fill the `grad` of every parameter in
    sight, fail on a cost that closes over one, and have no Hessian of a linear cost or of one that leaves a point
    out. Cost: a gradient is one backward pass, a product with the Hessian a second one through the first.

    Build and use it with gradients enabled.
    Raises: CostError if the cost at the starts can't be minimised; the functions of the problem raise it too.
    """
    import pymanopt.function
    import pymanopt.manifolds

    def leaves(arrays: Sequence[np.ndarray]) -> list[Tensor]:
        return [to_torch(array, start).requires_grad_() for array, start in zip(arrays, starts, strict=True)]

    def value(arrays: Sequence[np.ndarray]) -> float:
        # A step of infinite length, taken where the gradient is 0: the line search goes back from an infinite cost.
        if not all(np.isfinite(array).all() for array in arrays):
            return math.inf
        return float(_checked(cost(*leaves(arrays))).detach())

    def gradient(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        points = leaves(arrays)
        return _to_arrays("derivative", _derivatives(_checked(cost(*points)), points))

    def hessian(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        points, directions = leaves(arrays[: len(starts)]), leaves(arrays[len(starts) :])
        slopes = _derivatives(_checked(cost(*points)), points, create_graph=True)
        along = [(slope * direction.detach()).sum() for slope, direction in zip(slopes, directions, strict=True)]
        return _to_arrays("second derivative", _derivatives(torch.stack(along).sum(), points))

    _check_at_start(cost, leaves([to_numpy(start) for start in starts]))
    factors = [
        pymanopt.manifolds.Stiefel(*start.shape[-2:], k=start.shape[:-2].numel(), retraction=retraction)
        for start in starts
    ]
    # A product even of one: pymanopt then passes lists throughout.
    manifold = pymanopt.manifolds.Product(factors)
    as_pymanopts = pymanopt.function.numpy(manifold)
    return pymanopt.Problem(
        manifold,
        as_pymanopts(lambda *arrays: value(arrays)),
        euclidean_gradient=as_pymanopts(lambda *arrays: gradient(arrays)),
        euclidean_hessian=as_pymanopts(lambda *arrays: hessian(arrays)),
    )


def to_numpy(point: Tensor) -> np.ndarray:
    """Return the point nearest to a tensor in pymanopt's layout: float64, one dimension at most for the batch."""
    return _in_layout(nearest_point(point.double()).cpu().numpy())


def to_torch(array: np.ndarray, like: Tensor) -> Tensor:
    """Return a float64 copy in the shape and on the device of `like`."""
    return torch.tensor(array, device=like.device).reshape(like.shape)


def _derivatives(value: Tensor, points: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Return one for each point: 0 for a point that `value` leaves out, which autograd calls an error."""
    if not value.requires_grad:
        return [torch.zeros_like(point) for point in points]
    return list(torch.autograd.grad(value, points, create_graph=create_graph, materialize_grads=True))


def _to_arrays(what: str, derivatives: list[Tensor]) -> list[np.ndarray]:
    bad = sum(int((~each.isfinite()).sum()) for each in derivatives)
    if bad:
        cure = "keep clear of square roots at 0 and of singular vectors that coincide"
        raise CostError(f"a {what} with {bad} NaN or infinite entries", cure)
    return [_in_layout(each.detach().cpu().numpy()) for each in derivatives]


def _in_layout(array: np.ndarray) -> np.ndarray:
    """Return (n, p) for a single matrix, (k, n, p) for a batch."""
    n, p = array.shape[-2:]
    return array.reshape(n, p) if array.size == n * p else array.reshape(-1, n, p)


def _check_at_start(cost: Callable[..., Tensor], points: list[Tensor]) -> None:
    value = _checked(cost(*points))
    first, again = float(value.detach()), float(_checked(cost(*points)).detach())
    if not math.isfinite(first):
        raise CostError(f"{first} at the start", "start where the cost is finite")
    if not math.isclose(first, again, rel_tol=_REPEATABLE, abs_tol=_NOUGHT):
        got = f"{first:.6g} and then {again:.6g} at the same points"
        raise CostError(got, "use one fixed batch, and model.eval() to still dropout")
    slopes = torch.autograd.grad(value, points, allow_unused=True) if value.requires_grad else [None]
    if all(slope is None for slope in slopes):
        raise CostError("one that doesn't depend on them", "compute it in torch from the points, without .detach()")


def _checked(value: object) -> Tensor:
    """Return the value of a cost if a solver can compare it with another."""
    if not isinstance(value, Tensor):
        raise CostError(f"a {type(value).__name__}", "return a tensor, without .item() or float()")
    if value.ndim != 0:
        raise CostError(f"shape {tuple(value.shape)}", "reduce it with .sum() or .mean()")
    if not value.dtype.is_floating_point:
        raise CostError(str(value.dtype), "return a real floating-point tensor")
    if bool(value.isnan()):
        raise CostError("NaN", "return math.inf as a tensor where the cost isn't defined")
    return value
