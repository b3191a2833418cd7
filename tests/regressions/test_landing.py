"""Faults of public landing codes (POGO, landing-stiefel), and our side of each.

They are no dependencies of ours, so the fault is shown on the step they take, not on the packages.
"""

import math

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.linalg import newton_schulz_step
from stiefel.manifold import tangent_projection
from stiefel.optim import RiemannianSGD
from stiefel.optim.retraction import Retraction

N, P = 16, 4
EPS = torch.finfo(torch.float32).eps


def point(seed: int = 0) -> nn.Parameter:
    return nn.Parameter(stiefel.random_point(N, P, generator=torch.Generator().manual_seed(seed)))


def gradient(norm: float, seed: int = 1) -> Tensor:
    raw = torch.randn(N, P, generator=torch.Generator().manual_seed(seed))
    return raw * norm / torch.linalg.matrix_norm(raw, ord=2)


def landing(points: list[nn.Parameter], lr: float, *, momentum: float = 0.0) -> RiemannianSGD:
    return RiemannianSGD(points, lr=lr, momentum=momentum, retraction="landing")


def test_one_newton_schulz_step_without_a_guard_overflows_from_a_step_of_four() -> None:
    start = point().detach()
    for _ in range(10):
        start = newton_schulz_step(start - tangent_projection(start, gradient(4.0)))
    assert not start.isfinite().all()


@pytest.mark.parametrize("norm", [0.5, 2.0, 4.0, 40.0, 1e6, 1e18])
def test_a_long_step_gives_a_point_and_not_nan(norm: float) -> None:
    walker = point()
    optimiser = landing([walker], 1.0)
    for step in range(20):
        walker.grad = gradient(norm, seed=step)
        optimiser.step()
        assert stiefel.residual_in_eps(walker) <= 30


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_zero_gradient_gives_the_same_point_and_not_nan(momentum: float) -> None:
    walker = point()
    start = walker.detach().clone()
    optimiser = landing([walker], 0.1, momentum=momentum)
    for _ in range(3):
        walker.grad = torch.zeros_like(walker)
        optimiser.step()
    assert torch.dist(walker, start) <= 30 * N * EPS


def test_a_long_step_of_one_parameter_does_not_shorten_the_next_one() -> None:
    long, short, alone = point(0), point(1), point(1)
    for points in ([long, short], [alone]):
        for each in points:
            each.grad = gradient(1e6 if each is long else 1.0)
        landing(points, 0.1).step()
    assert torch.equal(short, alone)


def test_a_long_step_does_not_shorten_the_same_parameters_next_one() -> None:
    walker, fresh = point(), point()
    optimiser = landing([walker], 0.1)
    walker.grad = gradient(1e6)
    optimiser.step()
    fresh.data.copy_(walker.detach())
    for each, stepper in ((walker, optimiser), (fresh, landing([fresh], 0.1))):
        each.grad = gradient(1.0)
        stepper.step()
    assert torch.equal(walker, fresh)


@pytest.mark.parametrize("retraction", ["landing", "qr"])
def test_momentum_is_honoured(retraction: Retraction) -> None:
    # With one short gradient and then none, the way goes on to 1 + 0.9 + 0.81 + … steps of it: 10, less 0.9^100.
    walker = point()
    start = walker.detach().clone()
    optimiser = RiemannianSGD([walker], lr=1e-3, momentum=0.9, retraction=retraction)
    for step in range(100):
        walker.grad = gradient(1.0) if step == 0 else torch.zeros_like(walker)
        optimiser.step()
    way = (start - walker.detach()).norm() / (1e-3 * tangent_projection(start, gradient(1.0)).norm())
    # The way is 1e-2 long and straight to the square of that.
    assert math.isclose(float(way), 10.0, rel_tol=1e-3)
