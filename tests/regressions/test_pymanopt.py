"""pymanopt 2.2.1: its Stiefel manifold is sound, its torch backend has four defects that `stiefel.interop` avoids.

A test with "still" in its name asserts a defect: one that fails after an upgrade is good news.
"""

from collections.abc import Callable

import numpy as np
import pymanopt
import pymanopt.manifolds
import pymanopt.optimizers
import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel import interop
from stiefel.interop.problem import build_problem, to_numpy

N, P = 8, 3
EPS = np.finfo(float).eps
# A difference quotient of points that are n·eps off, over a step this short.
SHORT = 1e-5


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def start(*shape: int, seed: int = 1) -> Tensor:
    return stiefel.nearest_point(gaussian(*shape, seed=seed))


@pytest.mark.parametrize("k", [1, 4])
def test_pymanopts_projection_is_idempotent_and_ends_in_tangent_vectors(k: int) -> None:
    manifold = pymanopt.manifolds.Stiefel(N, P, k=k)
    point, ambient = (to_numpy(start(k, N, P))), gaussian(k, N, P).squeeze(0).numpy()
    once = manifold.projection(point, ambient)
    twice = manifold.projection(point, once)
    assert np.linalg.norm(twice - once) <= 30 * N * EPS * np.linalg.norm(ambient)
    inner = np.swapaxes(point, -2, -1) @ once
    assert np.linalg.norm(inner + np.swapaxes(inner, -2, -1)) <= 30 * N * EPS * np.linalg.norm(ambient)
    ours = stiefel.manifold.tangent_projection(torch.from_numpy(point), torch.from_numpy(ambient)).numpy()
    assert np.linalg.norm(ours - once) <= 30 * N * EPS * np.linalg.norm(ambient)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("retraction", "order"), [("qr", 1), ("polar", 2)])
def test_pymanopts_retractions_leave_with_the_velocity_that_they_are_given(retraction: str, order: int, k: int) -> None:
    manifold = pymanopt.manifolds.Stiefel(N, P, k=k, retraction=retraction)
    point = to_numpy(start(k, N, P))
    tangent = manifold.projection(point, gaussian(k, N, P).squeeze(0).numpy())
    slope = (manifold.retraction(point, SHORT * tangent) - manifold.retraction(point, -SHORT * tangent)) / (2 * SHORT)
    # Truncation is SHORT² times third derivatives, of the size of the tangent's cube: below it, 1e-8 at the most.
    assert np.linalg.norm(slope - tangent) <= 10 * SHORT**2 * np.linalg.norm(tangent) ** 3 + 30 * N * EPS / SHORT
    # And it is off the geodesic of the Euclidean metric by t^(order + 1), no more.
    errors = [
        torch.linalg.vector_norm(
            stiefel.manifold.exp(torch.from_numpy(point), torch.from_numpy(t * tangent), metric="euclidean")
            - torch.from_numpy(manifold.retraction(point, t * tangent))
        )
        for t in (1e-2, 5e-3)
    ]
    assert float(torch.log2(errors[0] / errors[1])) == pytest.approx(order + 1, abs=0.1)
    assert stiefel.residual_in_eps(torch.from_numpy(manifold.retraction(point, tangent))) <= 30


@pytest.mark.parametrize("batch", [(), (4,)])
def test_the_riemannian_hessian_is_the_derivative_of_the_riemannian_gradient(batch: tuple[int, ...]) -> None:
    matrix = gaussian(N, N, seed=2)
    problem = build_problem(
        lambda x: (matrix @ x).pow(3).sum() + x[..., 0, :].prod(-1).sum(), [start(*batch, N, P)], "qr"
    )
    (point,) = where = [to_numpy(start(*batch, N, P))]
    tangent = problem.manifold.projection(where, [gaussian(*batch, N, P).numpy()])
    product = problem.riemannian_hessian(where, tangent)[0]
    ahead, behind = (
        problem.riemannian_gradient([point_at])[0]
        for point_at in (problem.manifold.manifolds[0].retraction(point, sign * SHORT * tangent[0]) for sign in (1, -1))
    )
    # The covariant derivative is the tangent part of the derivative along any curve of that velocity.
    difference = problem.manifold.projection(where, [(ahead - behind) / (2 * SHORT)])[0]
    assert np.linalg.norm(product - difference) <= 1e-7 * np.linalg.norm(product)


def pymanopts_own(cost: Callable[..., Tensor], points: int = 1) -> pymanopt.Problem:
    each = pymanopt.manifolds.Stiefel(N, P)
    manifold = each if points == 1 else pymanopt.manifolds.Product([each] * points)
    return pymanopt.Problem(manifold, pymanopt.function.pytorch(manifold)(cost))


def test_pymanopts_backend_still_has_no_hessian_of_a_linear_cost() -> None:
    target = gaussian(N, P)
    problem = pymanopts_own(lambda x: (x * target).sum())
    with pytest.raises(RuntimeError, match="does not require grad"):
        pymanopt.optimizers.TrustRegions(verbosity=0).run(problem, initial_point=start(N, P).numpy())


def test_pymanopts_backend_still_has_no_hessian_of_a_cost_that_leaves_a_point_out() -> None:
    problem = pymanopts_own(lambda x, _: x.pow(4).sum(), points=2)
    where = [start(N, P).numpy()] * 2
    with pytest.raises(AttributeError, match="conj"):
        problem.riemannian_hessian(where, where)


def test_pymanopts_backend_still_fails_on_a_cost_with_a_parameter_and_fills_its_gradient() -> None:
    parameter = nn.Parameter(gaussian(N, P))
    problem = pymanopts_own(lambda x: (x - parameter).square().sum())
    with pytest.raises(RuntimeError, match="requires grad"):
        problem.cost(start(N, P).numpy())
    problem.riemannian_gradient(start(N, P).numpy())
    assert parameter.grad is not None


@pytest.mark.parametrize("solver", interop.solvers())
def test_ours_has_none_of_these_defects(solver: str) -> None:
    parameter = nn.Parameter(gaussian(N, P))
    with torch.no_grad():
        minimum = interop.minimise(lambda x, _: -(x * parameter).sum(), [start(N, P), start(N, P)], solver=solver)
    assert minimum.cost == pytest.approx(-float(torch.linalg.svdvals(parameter.detach()).sum()), rel=1e-9)
    assert parameter.grad is None
