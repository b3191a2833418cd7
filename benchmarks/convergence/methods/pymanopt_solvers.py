"""pymanopt's solvers on the problem that `stiefel.interop` makes for them: its manifold, its numpy, our derivatives."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.method import Method
from benchmarks.convergence.problem import Problem
from benchmarks.convergence.watch import Watch
from distill.budget import flops
from stiefel.interop.problem import build_problem, to_numpy

SOLVERS = {
    "pymanopt steepest descent": "SteepestDescent",
    "pymanopt conjugate gradients": "ConjugateGradient",
    "pymanopt trust regions": "TrustRegions",
}


class Pymanopt(Method):
    """One of pymanopt's solvers, with its defaults; it stops by itself, here at the end of its step sizes only."""

    family = "pymanopt"
    is_tuned = False
    is_deterministic = True
    alignment = 1.0

    def defect(self, point: Float[Tensor, "n p"]) -> float:
        # Its retraction is LAPACK's QR, whose own tests allow 30·n·eps.
        return 30 * point.shape[-2] * torch.finfo(torch.float64).eps

    def run(self, watch: Watch, start: Float[Tensor, "n p"], *, lr: float, seed: int) -> None:
        import pymanopt.optimizers

        def cost(point: Tensor) -> Tensor:
            return watch.problem.loss(point)

        solver = getattr(pymanopt.optimizers, SOLVERS[self.name])(
            max_time=np.inf,
            max_iterations=10**9,
            max_cost_evaluations=10**9,
            min_gradient_norm=0.0,
            min_step_size=1e-16,
            verbosity=0,
        )
        # A gradient of 0 makes it divide by 0, right before it stops.
        with np.errstate(all="ignore"), warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            watched = _Watched(build_problem(cost, [start], "qr"), watch)
            watch.go()
            solver.run(watched, initial_point=[to_numpy(start)])
        watch.halt()

    def probe(self, problem: Problem, point: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        with torch.enable_grad():
            made = build_problem(lambda x: problem.loss(x), [point], "qr")
            return -torch.from_numpy(made.riemannian_gradient([to_numpy(point)])[0])


class _Watched:
    """What a solver sees of a problem. It takes one gradient at each iterate: there the clock stands still."""

    def __init__(self, problem: Any, watch: Watch):
        self.manifold = _Counted(problem.manifold, watch)
        self._problem, self._watch, self._is_start = problem, watch, True

    def cost(self, point: list[np.ndarray]) -> float:
        return self._watch.of_problem(lambda: self._problem.cost(point))

    def riemannian_gradient(self, point: list[np.ndarray]) -> list[np.ndarray]:
        self._watch.halt()
        self._watch.look(lambda: torch.from_numpy(point[0]), is_step=not self._is_start)
        self._is_start = False
        self._watch.go()
        return self._watch.of_problem(lambda: self._problem.riemannian_gradient(point))

    def riemannian_hessian(self, point: list[np.ndarray], along: list[np.ndarray]) -> list[np.ndarray]:
        return self._watch.of_problem(lambda: self._problem.riemannian_hessian(point, along))

    def preconditioner(self, point: list[np.ndarray], vector: list[np.ndarray]) -> list[np.ndarray]:
        return self._problem.preconditioner(point, vector)


class _Counted:
    """pymanopt's manifold; what its numpy does is put on the watch, as torch's counter doesn't see it."""

    def __init__(self, manifold: Any, watch: Watch):
        self._manifold, self._watch = manifold, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manifold, name)

    def _count(self, method: Callable[..., Any], cost: Callable[[int, int], int], *arguments: Any) -> Any:
        self._watch.extra_flops += cost(*arguments[0][0].shape)
        return method(*arguments)

    def retraction(self, point: list[np.ndarray], vector: list[np.ndarray]) -> Any:
        return self._count(self._manifold.retraction, flops.qr, point, vector)

    def projection(self, point: list[np.ndarray], vector: list[np.ndarray]) -> Any:
        return self._count(self._manifold.projection, lambda n, p: 4 * n * p**2, point, vector)

    def transport(self, start: list[np.ndarray], end: list[np.ndarray], vector: list[np.ndarray]) -> Any:
        return self._count(self._manifold.transport, lambda n, p: 4 * n * p**2, start, end, vector)

    def inner_product(self, point: list[np.ndarray], one: list[np.ndarray], other: list[np.ndarray]) -> Any:
        return self._count(self._manifold.inner_product, lambda n, p: 2 * n * p, point, one, other)


def methods() -> list[Method]:
    """Return its three solvers; none where pymanopt isn't installed."""
    return [Pymanopt(name) for name in SOLVERS] if find_spec("pymanopt") else []
