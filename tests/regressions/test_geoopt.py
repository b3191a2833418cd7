"""Defects of geoopt 0.5.1, and our side of each.

A test with "still" in its name asserts geoopt's defect: one that fails after an upgrade is good news, and says
which detour of ours can go.
"""

import math
from collections.abc import Iterator

import geoopt
import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.manifold import tangent_projection

NAMES = stiefel.names()
RETRACTIONS = [name for name in NAMES if stiefel.get(name).claims.retraction_order is not None]
N, P = 8, 3
EPS = torch.finfo(torch.float64).eps
# A step this short shows the direction of the first step: its curvature turns the cosine by about 1e-12.
SHORT = 1e-6


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def gaussian(seed: int) -> Tensor:
    return torch.randn(N, P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(by: str, *, seed: int = 0) -> nn.Linear:
    module = nn.Linear(P, N, bias=False, dtype=torch.float64)
    module.weight.data.copy_(gaussian(seed))
    stiefel.attach(module, by=by)
    return module


def descend(module: nn.Module, *, seed: int = 9) -> Tensor:
    """Put the gradient of ½‖weight − T‖² on the trained tensor; return the weight's own Riemannian gradient."""
    weight = module.weight
    (weight - gaussian(seed)).square().sum().div(2).backward()
    point = weight.detach()
    return tangent_projection(point, point - gaussian(seed))


def cosine(step: Tensor, gradient: Tensor) -> float:
    return float((step * gradient).sum() / step.norm() / gradient.norm())


def raw_parameter() -> geoopt.ManifoldParameter:
    start = stiefel.nearest_point(gaussian(0))
    return geoopt.ManifoldParameter(start, manifold=geoopt.EuclideanStiefel())


def test_geoopts_canonical_projection_is_still_not_idempotent() -> None:
    point = stiefel.nearest_point(gaussian(0))
    once = geoopt.Stiefel().proju(point, gaussian(1))
    twice = geoopt.Stiefel().proju(point, once)
    assert (twice - once).norm() > 0.5 * once.norm()


def test_our_projection_and_the_one_of_geoopt_that_we_use_are_idempotent() -> None:
    point = stiefel.nearest_point(gaussian(0))
    for project in (tangent_projection, geoopt.EuclideanStiefel().proju):
        once = project(point, gaussian(1))
        assert (project(point, once) - once).norm() <= 30 * N * EPS * gaussian(1).norm()


def test_geoopts_canonical_retraction_still_doubles_the_rotation() -> None:
    point = stiefel.nearest_point(gaussian(0))
    rotation = point @ stiefel.linalg.skew(gaussian(1)[:P])
    retract = geoopt.Stiefel().retr
    slope = (retract(point, SHORT * rotation) - retract(point, -SHORT * rotation)) / (2 * SHORT)
    assert (slope - 2 * rotation).norm() <= math.sqrt(SHORT) * rotation.norm()


@pytest.mark.parametrize("name", RETRACTIONS)
def test_our_retractions_leave_with_the_velocity_that_they_are_given(name: str) -> None:
    module = stiefel.get(name)(N, P, dtype=torch.float64)
    module.right_inverse(gaussian(0))
    tangent = tangent_projection(module.base, gaussian(1))
    slope = (module(SHORT * tangent) - module(-SHORT * tangent)) / (2 * SHORT)
    # The quotient of two points n·eps off, over 2·SHORT; its truncation, SHORT², is far below.
    assert (slope - tangent).norm() <= stiefel.get(name).claims.residual * N * EPS / SHORT


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_step_of_geoopt_still_leaves_the_manifold() -> None:
    point = raw_parameter()
    step = torch.compile(geoopt.optim.RiemannianSGD([point], lr=0.5).step, backend="eager")
    for _ in range(4):
        point.grad = None
        (point - gaussian(9)).square().sum().div(2).backward()
        step()
    assert stiefel.residual(point) > 1


@pytest.mark.usefixtures("fresh_compiler", "unchecked_shapes")
@pytest.mark.parametrize("name", stiefel.optim.names())
@pytest.mark.parametrize("by", NAMES)
def test_a_compiled_step_of_ours_stays_on_the_manifold(by: str, name: str) -> None:
    module = layer(by)
    optimiser = stiefel.optim.build(module, name, lr=0.1)
    step = torch.compile(optimiser.step, backend="eager")
    for _ in range(4):
        optimiser.zero_grad()
        descend(module)
        step()
    assert stiefel.residual_in_eps(module.weight) <= stiefel.get(by).claims.residual


def test_geoopts_momentum_still_starts_with_the_raw_gradient() -> None:
    point = raw_parameter()
    before = point.detach().clone()
    (point - gaussian(9)).square().sum().div(2).backward()
    gradient = tangent_projection(before, point.grad)
    geoopt.optim.RiemannianSGD([point], lr=SHORT, momentum=0.9).step()
    assert cosine(before - point.detach(), gradient) < 0.999


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_our_first_step_goes_down_the_riemannian_gradient(momentum: float) -> None:
    module = layer("riemannian")
    optimiser = stiefel.optim.build(module, "sgd", lr=SHORT)
    for group in optimiser.param_groups:
        group["momentum"] = momentum
    before = module.weight.detach().clone()
    gradient = descend(module)
    optimiser.step()
    assert cosine(before - module.weight.detach(), gradient) > 1 - SHORT


@pytest.mark.parametrize("name", stiefel.optim.names())
@pytest.mark.parametrize("by", NAMES)
def test_a_zero_gradient_moves_nothing(by: str, name: str) -> None:
    module = layer(by)
    optimiser = stiefel.optim.build(module, name, lr=0.1, weight_decay=0.1)
    before = module.weight.detach().clone()
    (0 * module.weight).sum().backward()
    optimiser.step()
    assert (module.weight - before).abs().max() <= stiefel.get(by).claims.residual * N * EPS


@pytest.mark.parametrize("name", stiefel.optim.names())
@pytest.mark.parametrize("by", NAMES)
def test_one_weights_step_does_not_depend_on_its_neighbour(by: str, name: str) -> None:
    alone, first, second = layer(by), layer(by), layer(by, seed=5)
    for model in (alone, nn.ModuleList([first, second])):
        optimiser = stiefel.optim.build(model, name, lr=0.1)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                descend(module)
        optimiser.step()
    assert torch.equal(first.weight, alone.weight)
