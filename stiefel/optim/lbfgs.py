"""L-BFGS whose parameters are points of St(n, p), for a loss that is one function: full batches, no noise."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stiefel.errors import NonFiniteError, SettingError
from stiefel.manifold import tangent_projection
from stiefel.optim.retraction import RETRACTIONS, Retraction
from stiefel.optim.riemannian import check_group
from stiefel.precision import full_precision

# A step has to bring this share of what the slope promises. Once values differ by rounding alone, the slope it ends
# at decides (Hager & Zhang 2005): a loss counts as no worse within this many eps of itself.
_DECREASE, _ROUNDING_IN_EPS = 1e-4, 10
# A rejected step is shortened to the minimum of the parabola through both values, within these shares of it.
_LEAST, _MOST, _TRIALS = 0.1, 0.5, 25
# In radians a column: far from a minimum the curvature seen may be near 0, and the step that it asks for endless.
_LONGEST = 0.3
# A pair of less curvature than this (Li & Fukushima 2001) would spoil the metric and is left out.
_CURVATURE = 1e-10


_Pair = tuple[Tensor, Tensor]  # (s, y): a step taken, and what it did to the gradient


class _Iterate(NamedTuple):
    value: float
    gradient: Float[Tensor, " k"]  # tangent, all points in one vector


class RiemannianLBFGS(torch.optim.Optimizer):
    """Limited-memory BFGS on St(n, p), all points together, with a backtracking line search.

    `step(closure)` takes `max_iterations` iterations at most, as torch's `LBFGS` does: the closure clears the
    gradients, computes the loss, calls `backward` and returns the loss, the same one for the same points. It is
    called once at the start and about once an iteration. `lr` is the length of the first step, before anything is
    known of the curvature. An iteration that finds nothing lower, or a gradient of norm <= `tolerance`, ends a step
    early and sets `is_finished`.

    A pair of the history is the step taken, tangent where it began, and the difference of the tangent gradients at its
    ends. Neither is transported: the two-loop recursion multiplies them with the gradient, and only its result is
    projected, 4np² flops in place of 8·history·np². The direction is one of descent all the same, and what the pairs
    lose is of the order of the distance gone since, which vanishes at a minimum: with every pair projected the
    benchmark's problems took as many evaluations, within 5 % either way.

    Cost of an iteration: the closure, a retraction, 8np² flops of projections, 8·history·np flops of the recursion.
    Memory: 2·history + 4 copies of the points.
    Source: Nocedal & Wright 2006, algorithm 7.4; Huang, Gallivan & Absil 2015 (on manifolds).
    Raises: SettingError, UnknownNameError, ShapeError, DTypeError, NonFiniteError, OffManifoldError.
    """

    def __init__(
        self,
        points: Iterable[Any],
        *,
        lr: float = 1.0,
        max_iterations: int = 20,
        history: int = 5,
        tolerance: float = 1e-7,
        retraction: Retraction = "qr",
    ):
        if not lr > 0:
            raise SettingError("lr", "> 0", lr)
        if min(max_iterations, history) < 1:
            raise SettingError("max_iterations and history", ">= 1", (max_iterations, history))
        settings = {"lr": lr, "max_iterations": max_iterations, "history": history, "tolerance": tolerance}
        super().__init__(points, settings | {"retraction": retraction})
        self.is_finished = False

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise SettingError("points", "one group, as one line search moves them all", "a second one")
        super().add_param_group(param_group)
        check_group(self.param_groups[0])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take up to `max_iterations` iterations and return the loss before them.

        Raises: NonFiniteError before a point is written, if the loss or its gradient isn't finite there.
        """
        group = self.param_groups[0]
        pairs = self._pairs()
        here = self._evaluate(closure)
        first = here.value
        if not (math.isfinite(first) and bool(here.gradient.isfinite().all())):
            raise NonFiniteError("loss and gradient", int((~here.gradient.isfinite()).sum()), here.gradient.numel())
        for _ in range(group["max_iterations"]):
            norm = float(torch.linalg.vector_norm(here.gradient))
            self.is_finished = norm <= group["tolerance"]
            if self.is_finished:
                break
            direction = _two_loops(here.gradient, pairs) if pairs else here.gradient * (group["lr"] / norm)
            ahead = self._search(closure, here, -self._project(direction))
            if ahead is not None:
                here, pair = ahead
                if _is_curved(*pair):
                    pairs.append(pair)
                    del pairs[: -group["history"]]
            elif pairs:
                pairs.clear()  # What it knows of the curvature may mislead it: once more along the gradient.
            else:
                self.is_finished = True
                break
        return first

    def _search(self, closure: Callable[[], Any], here: _Iterate, direction: Tensor) -> tuple[_Iterate, _Pair] | None:
        """Move the points along a direction; return where they are with the pair made, or None if they stayed."""
        group, slope = self.param_groups[0], float(here.gradient @ direction)
        start = [point.clone() for point in group["params"]]
        steps = self._split(direction)
        slack = _ROUNDING_IN_EPS * torch.finfo(direction.dtype).eps * abs(here.value)
        columns = sum(point.shape[-1] * point.shape[:-2].numel() for point in start)
        t = min(1.0, _LONGEST * math.sqrt(columns) / float(torch.linalg.vector_norm(direction)))
        for _ in range(_TRIALS):
            for point, base, step in zip(group["params"], start, steps, strict=True):
                with full_precision(point.device):
                    point.copy_(RETRACTIONS[group["retraction"]](base, step, factor=t))
            there = self._evaluate(closure)
            excess = there.value - here.value - t * slope
            if math.isfinite(there.value) and (
                there.value <= here.value + _DECREASE * t * slope
                or (
                    there.value <= here.value + slack
                    and float(there.gradient @ direction) <= (2 * _DECREASE - 1) * slope
                )
            ):
                return there, (t * direction, there.gradient - here.gradient)
            t *= min(max(-slope * t / (2 * excess), _LEAST), _MOST) if math.isfinite(excess) else _LEAST
        for point, base in zip(group["params"], start, strict=True):
            point.copy_(base)
        return None

    def _pairs(self) -> list[_Pair]:
        return self.state[self.param_groups[0]["params"][0]].setdefault("pairs", [])

    def _evaluate(self, closure: Callable[[], Any]) -> _Iterate:
        with torch.enable_grad():
            loss = closure()
        value = float(loss.detach() if isinstance(loss, Tensor) else loss)
        points = self.param_groups[0]["params"]
        ambient = [torch.zeros_like(point) if point.grad is None else point.grad for point in points]
        return _Iterate(value, self._project(torch.cat([each.reshape(-1) for each in ambient])))

    def _project(self, ambient: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        points = self.param_groups[0]["params"]
        parts = []
        for point, part in zip(points, self._split(ambient), strict=True):
            with full_precision(point.device):
                parts.append(tangent_projection(point.detach(), part).reshape(-1))
        return torch.cat(parts)

    def _split(self, flat: Float[Tensor, " k"]) -> list[Tensor]:
        points = self.param_groups[0]["params"]
        parts = flat.split([point.numel() for point in points])
        return [part.view(point.shape) for part, point in zip(parts, points, strict=True)]


def _is_curved(s: Tensor, y: Tensor) -> bool:
    return float(s @ y) > _CURVATURE * float(torch.linalg.vector_norm(s) * torch.linalg.vector_norm(y))


def _two_loops(gradient: Float[Tensor, " k"], pairs: list[_Pair]) -> Float[Tensor, " k"]:
    """Return H·g, H the inverse Hessian that the pairs say, scaled by the last one."""
    result = gradient.clone()
    weights = []
    for s, y in reversed(pairs):
        weights.append((s @ result) / (s @ y))
        result.addcmul_(y, weights[-1], value=-1)
    s, y = pairs[-1]
    result.mul_((s @ y) / (y @ y))
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        result.addcmul_(s, weight - (y @ result) / (s @ y))
    return result
