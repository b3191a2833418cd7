"""Run a solver of pymanopt's on a cost of points, or on the attached weights of a module.

stiefel.interop.minimise(cost, start, solver="trust-regions")
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from stiefel.attach import attached
from stiefel.base import Parameterisation
from stiefel.errors import (
    CostError,
    MissingExtraError,
    NotAttachedError,
    OffManifoldError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from stiefel.interop.problem import RETRACTIONS, Retraction, build_problem, to_numpy, to_torch
from stiefel.manifold import check, residual

Reason = Literal["gradient norm", "iterations", "step size"]

# pymanopt's class, and how many looks at the start it counts as an iteration.
_SOLVERS = {
    "conjugate-gradient": ("ConjugateGradient", 1),
    "steepest-descent": ("SteepestDescent", 0),
    "trust-regions": ("TrustRegions", 0),
}
# What pymanopt's sentence says, in our words.
_REASONS: dict[str, Reason] = {
    "min grad norm": "gradient norm",
    "max iterations": "iterations",
    "min step_size": "step size",
}


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a solver stopped.

    points: one (*batch, n, p) for each start, in its dtype and on its device, rounded once from float64.
    cost: at the solver's own float64 points.
    gradient_norm: Frobenius norm of the Riemannian gradient there, Euclidean metric, over all points together.
    iterations: steps tried; 0 if the start was good enough.
    seconds: wall clock of the solver, the cost's evaluations included.
    stopped_by: "gradient norm" is convergence. "step size" is a line search that found nothing lower, which is
        the end of the cost's precision.
    """

    points: tuple[Tensor, ...]
    cost: float
    gradient_norm: float
    iterations: int
    seconds: float
    stopped_by: Reason

    @property
    def point(self) -> Tensor:
        """The first point: the only one, of a single start."""
        return self.points[0]


def solvers() -> list[str]:
    """Return the names that `minimise` knows."""
    return sorted(_SOLVERS)


def minimise(
    cost: Callable[..., Tensor],
    start: Tensor | Sequence[Tensor],
    *,
    solver: str = "trust-regions",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    retraction: Retraction = "qr",
) -> Minimum:
    """Minimise a torch function of points by a solver of pymanopt's, from `start` to a local minimum.

    `cost` gets one float64 tensor `(*batch, n, p)` for each start, on its device, and returns a 0-dimensional
    tensor: the same one for the same points, differentiable in torch (twice for trust regions), +inf where it
    isn't defined. Tensors that it closes over belong in float64 too; their `grad` isn't touched. Several starts
    are minimised over together, on the product of their manifolds.

    It stops where the Riemannian gradient's Frobenius norm is below `tolerance`, at `max_iterations`, or where a
    line search is at the end of the cost's precision. Nothing is printed, and nothing is random. pymanopt itself
    works in numpy on the CPU: a step there costs 8np² flops and a QR factorisation, or an SVD for `polar`.

    Raises: MissingExtraError; UnknownNameError; SettingError; ShapeError, DTypeError, NonFiniteError or
    OffManifoldError for a start that isn't a point; CostError.
    Source: Absil, Mahony & Sepulchre 2008, chapters 4, 7 and 8; Townsend, Koep & Weichwald 2016 (pymanopt).
    """
    starts = [start] if isinstance(start, Tensor) else list(start)
    _check_settings(solver, retraction, tolerance, max_iterations)
    _check_starts(starts)
    pymanopt = _pymanopt()
    class_name, looks = _SOLVERS[solver]
    optimiser = getattr(pymanopt.optimizers, class_name)(
        max_time=math.inf, max_iterations=max_iterations + looks, min_gradient_norm=tolerance, verbosity=0
    )
    where, iterations = [to_numpy(point) for point in starts], 0
    stopped_by: Reason = "gradient norm"
    try:
        # A gradient of 0 makes pymanopt divide by zero, right before it stops there.
        with torch.enable_grad(), np.errstate(divide="ignore", invalid="ignore"):
            problem = build_problem(cost, starts, retraction)
            began = time.perf_counter()
            # Steepest descent and trust regions look at the norm after a step, which a stationary start hasn't.
            if not _gradient_norm(problem, where) < tolerance:
                outcome = optimiser.run(problem, initial_point=where)
                where, iterations = outcome.point, outcome.iterations - looks
                said = outcome.stopping_criterion
                stopped_by = next(reason for phrase, reason in _REASONS.items() if phrase in said)
            seconds = time.perf_counter() - began
            # Taken anew: steepest descent returns the norm from before its last step.
            final_cost, final_norm = problem.cost(where), _gradient_norm(problem, where)
    except CostError as error:
        # pymanopt's frames say nothing about a cost.
        raise error.with_traceback(None) from None
    points = tuple(to_torch(array, like).to(like.dtype) for array, like in zip(where, starts, strict=True))
    return Minimum(points, final_cost, final_norm, iterations, seconds, stopped_by)


def minimise_module(
    model: nn.Module,
    loss: Callable[[], Tensor],
    *,
    solver: str = "trust-regions",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    retraction: Retraction = "qr",
) -> Minimum:
    """Minimise `loss()` over the weights inside `model` that `stiefel.attach` holds, and leave the minimum in them.

    Every other parameter stays as it is, and so does an attached weight whose free tensor doesn't require grad.
    The weights stay attached: each base moves to the minimum, as in `rebase`, so an optimiser's moments refer to
    the old coordinates. `loss` evaluates the model on the same full batch each time and calls no `backward`; put
    the model in `eval()` mode, where dropout and batch statistics are still. On an error the weights are as before.

    The model computes in its own dtype. A float32 loss is good to 1e-7 of itself, so a line search ends by "step
    size" at a gradient of about 3e-4; trust regions, which trust the model there, usually go further. In
    `model.double()` with float64 data all reach the `tolerance`.
    `points` of the result are tall, `(*batch, n, p)`, whatever the layout of the weight.

    Raises: NotAttachedError if there is nothing to train; DTypeError for a weight below float32; what `minimise`
    raises.
    """
    chosen = [(holder, each) for holder, each in attached(model) if holder.original.requires_grad]
    if not chosen:
        raise NotAttachedError(model, "weight")
    own = [each.map for _, each in chosen]
    stand_ins = [_Given() for _ in chosen]

    def cost(*points: Tensor) -> Tensor:
        for stand_in, point in zip(stand_ins, points, strict=True):
            stand_in.point = point
        return loss()

    starts = [each.tall_of(each(holder.original).detach()) for holder, each in chosen]
    try:
        for (_, each), stand_in in zip(chosen, stand_ins, strict=True):
            each.map = cast(Parameterisation, stand_in)
        minimum = minimise(
            cost, starts, solver=solver, tolerance=tolerance, max_iterations=max_iterations, retraction=retraction
        )
    finally:
        for (_, each), map_ in zip(chosen, own, strict=True):
            each.map = map_
    with torch.no_grad():
        for (holder, each), point in zip(chosen, minimum.points, strict=True):
            weight = each.weight_of(point).to(holder.original.dtype)
            holder.original.copy_(each.right_inverse(weight))
    return minimum


class _Given(nn.Module):
    """Stands in for a map while a solver runs: its point is the solver's, whatever the free tensor."""

    point: Tensor

    def forward(self, free: Tensor) -> Tensor:
        return self.point.to(free.dtype)


def _check_settings(solver: str, retraction: str, tolerance: float, max_iterations: int) -> None:
    if solver not in _SOLVERS:
        raise UnknownNameError("solver", solver, solvers())
    if retraction not in RETRACTIONS:
        raise UnknownNameError("retraction", retraction, RETRACTIONS)
    if not tolerance > 0:
        raise SettingError("tolerance", "> 0", tolerance)
    if not max_iterations >= 1:
        raise SettingError("max_iterations", ">= 1", max_iterations)


def _check_starts(starts: Sequence[Tensor]) -> None:
    if not starts:
        raise SettingError("start", "a point or a list of points", "an empty list")
    for start in starts:
        check("start", start)
        if start.numel() == 0:
            raise ShapeError("start", "(*batch, n, p) with no empty batch", start.shape, cure="leave it out")
        defect = float(residual(start).amax())
        # The optimisers' own bound: rounding to bfloat16 is below it, an ordinary weight past 1.
        if not defect < 0.5:
            raise OffManifoldError(start.shape, defect)


def _pymanopt() -> ModuleType:
    try:
        import pymanopt.optimizers
    except ModuleNotFoundError as error:
        raise MissingExtraError("stiefel.interop", "pymanopt", extra="pymanopt") from error
    return pymanopt


def _gradient_norm(problem: Any, where: list[np.ndarray]) -> float:
    return float(problem.manifold.norm(where, problem.riemannian_gradient(where)))
