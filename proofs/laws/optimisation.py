"""Laws of long runs: thousands of steps don't drift, and a target that can be reached is reached."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from proofs.cases import Case
from proofs.laws.setting import Setting, attached, distance, place, reach, trained_tensor, worst
from proofs.oracles import tangent_part
from stiefel import Parameterisation, nearest_point, optim, residual_in_eps

# The gradient changes once in so many steps, which is enough to come near the edge of the domain and be rebased.
_LEG = 20
# How close a solver has to come. This is the solver's tolerance, not rounding's: an error of 1e-6 is a loss of 5e-13,
# whose change between two iterates float64 still sees.
_REACHED = 1e-6
# Past these norms there are targets to which no descent from F = 0 leads. A geodesic turned by π has a gradient of
# zero at F = 0 (41 of 300 cases of `exponential`), and close to it 300 iterations are too few (2e-6 are left of a case
# of `exponential_euclidean` at norm 3). A map that is no retraction has other minima: one of 80 cases of `householder`
# at norm 1.5, none of 120 at norm 1. The others are asked for their whole domain.
_FARTHEST_GEODESIC = 2.0
_FARTHEST_OTHERWISE = 1.0
_ITERATIONS = 300


def without_drift(by: type[Parameterisation], case: Case) -> float:
    """Thousands of steps of Adam (10 000 nightly), the base moved when it is far, leave the weight on the manifold.

    The weight is looked at after every twentieth step, and each time the gradient changes.
    """
    return worst(_run(by, case)) / by.claims.residual


def target_reached(by: type[Parameterisation], case: Case) -> float:
    """A target R(F*) is reached from F = 0 to 1e-6, by L-BFGS; ‖F*‖₂ <= π, 2 for a geodesic, 1 for no retraction.

    For a map whose free tensor is the point, the target is the nearest point to X0 + U, U tangent, and its Riemannian
    optimiser has to reach it.
    """
    setting = place(by, replace(case, norm=min(case.norm, _farthest(by))))
    if by.claims.optimiser == "riemannian":
        target = nearest_point(setting.base + tangent_part(setting.base, setting.step))
        return distance(_descended(by, setting, target), target) / _REACHED
    target = setting.map(setting.free).detach()
    return distance(_minimised(setting, target), target) / _REACHED


def _farthest(by: type[Parameterisation]) -> float:
    """Return the norm of the farthest target that the law asks for."""
    order = by.claims.retraction_order
    if order is None and by.claims.optimiser == "any":
        return min(reach(by), _FARTHEST_OTHERWISE)
    return min(reach(by), _FARTHEST_GEODESIC) if order == math.inf else reach(by)


def _run(by: type[Parameterisation], case: Case) -> Iterator[float]:
    """Yield the residual in n·eps after each leg of the run."""
    module = attached(by, case.matrices()[0])
    # Adam moves an entry by lr, 3.2·lr at the most (0.1/√0.001): ‖δF‖₂ stays below 0.4 of the reach, and `AutoRebase`
    # moves the base when half of it is passed.
    optimiser = optim.build(module, "adamw", lr=reach(by) / (8 * case.n))
    auto = optim.AutoRebase(module, optimiser)
    for gradient in case.random(case.steps // _LEG, *case.shape, stream=14).to(case.dtype):
        for _ in range(_LEG):
            optimiser.zero_grad()
            (module.weight * gradient).sum().backward()
            optimiser.step()
            auto.after_step()
        yield residual_in_eps(module.weight)


def _minimised(setting: Setting, target: Tensor) -> Tensor:
    free = setting.start.clone().requires_grad_()
    # No tolerance on changes: where the Hessian is flat (reflectors, angles) it would stop at an error of 1e-5.
    solver = torch.optim.LBFGS(
        [free], max_iter=_ITERATIONS, tolerance_grad=1e-10, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = (setting.map(free) - target).square().sum() / 2
        value.backward()
        return value.detach()

    solver.step(loss)  # pyright: ignore[reportArgumentType]
    return setting.map(free)


def _descended(by: type[Parameterisation], setting: Setting, target: Tensor) -> Tensor:
    module = attached(by, setting.base)
    # The Hessian of ½‖X − X*‖² at X* is the identity on tangent vectors: the step of length one is Newton's.
    optimiser = optim.build(module, "sgd", lr=1.0)
    for _ in range(_ITERATIONS):
        trained_tensor(module).grad = -target
        optimiser.step()
    return module.weight
