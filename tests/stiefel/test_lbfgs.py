"""`stiefel.optim.RiemannianLBFGS`: it reaches optima that are known, stops by itself, and says what it can't do."""

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.errors import NonFiniteError, OffManifoldError, SettingError, UnknownNameError
from stiefel.optim import RiemannianLBFGS
from stiefel.optim.lbfgs import _two_loops
from stiefel.optim.retraction import RETRACTIONS, Retraction

N, P = 40, 4
EPS = torch.finfo(torch.float64).eps


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def point(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    return nn.Parameter(stiefel.nearest_point(gaussian(*shape, seed=seed)).to(dtype))


SYMMETRIC = gaussian(N, N) + gaussian(N, N).T


def eigenspace(x: Tensor) -> Tensor:
    """Least at the sum of the p least eigenvalues."""
    return (x * (SYMMETRIC.to(x.dtype) @ x)).sum()


class Counted:
    """A closure that remembers every value."""

    def __init__(self, points: list[nn.Parameter], loss: Callable[..., Tensor]):
        self.points, self.loss, self.values = points, loss, list[float]()

    def __call__(self) -> Tensor:
        for each in self.points:
            each.grad = None
        value = self.loss(*self.points)
        value.backward()
        self.values.append(float(value.detach()))
        return value


@pytest.mark.parametrize("retraction", RETRACTIONS)
def test_the_least_eigenvalues_are_found_to_rounding_with_about_one_evaluation_an_iteration(
    retraction: Retraction,
) -> None:
    x = point(N, P)
    closure = Counted([x], eigenspace)
    optimiser = RiemannianLBFGS([x], max_iterations=100, tolerance=0.0, retraction=retraction)
    first = optimiser.step(closure)
    best = torch.linalg.eigvalsh(SYMMETRIC)[:P]
    # The value is quadratic in the error of the point, so what is left of it is rounding: of a sum of N·P products.
    assert float(eigenspace(x.detach()) - best.sum()) <= 30 * N * EPS * float(SYMMETRIC.norm())
    assert first == closure.values[0]
    assert len(closure.values) <= 1.2 * 100
    assert stiefel.residual_in_eps(x) <= 30


@pytest.mark.parametrize("tolerance", [1e-3, 1e-9])
def test_it_stops_by_itself_where_the_gradient_is_below_the_tolerance(tolerance: float) -> None:
    x = point(N, P)
    closure = Counted([x], eigenspace)
    optimiser = RiemannianLBFGS([x], max_iterations=1000, tolerance=tolerance)
    optimiser.step(closure)
    assert optimiser.is_finished
    assert len(closure.values) < 150
    assert torch.linalg.vector_norm(stiefel.manifold.tangent_projection(x.detach(), x.grad)) <= tolerance


def test_a_loss_never_rises_by_more_than_rounding() -> None:
    x = point(N, P)
    optimiser = RiemannianLBFGS([x], max_iterations=1)
    values = [optimiser.step(Counted([x], eigenspace)) for _ in range(150)]
    slack = 10 * EPS * max(map(abs, values))
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


def test_points_of_several_shapes_and_a_batch_are_minimised_over_together() -> None:
    target = [gaussian(6, 2), gaussian(3, 5, 4, seed=3)]
    points = [point(6, 2), point(3, 5, 4)]
    optimiser = RiemannianLBFGS(points, max_iterations=200)
    optimiser.step(Counted(points, lambda *xs: -sum((x * t).sum() for x, t in zip(xs, target, strict=True))))
    for x, t in zip(points, target, strict=True):
        assert (x - stiefel.nearest_point(t)).abs().max() < 1e-6
        assert stiefel.residual_in_eps(x) <= 30


def test_it_takes_a_fifth_of_the_evaluations_that_gradient_descent_takes() -> None:
    best = float(torch.linalg.eigvalsh(SYMMETRIC)[:P].sum())

    def closure_after(build: Callable[[nn.Parameter], torch.optim.Optimizer]) -> int:
        x = point(N, P)
        closure, optimiser = Counted([x], eigenspace), build(x)
        while (not closure.values or closure.values[-1] - best > 1e-8 * abs(best)) and len(closure.values) < 5000:
            optimiser.step(closure)
        return len(closure.values)

    ours = closure_after(lambda x: RiemannianLBFGS([x], max_iterations=1))
    # The gradient is 2AX and its derivative at most 4‖A‖: a step of a quarter of that is about the longest.
    lr = 1 / (4 * float(torch.linalg.matrix_norm(SYMMETRIC, 2)))
    assert ours <= closure_after(lambda x: stiefel.optim.RiemannianSGD([x], lr=lr)) / 5


def test_the_two_loops_are_the_dense_inverse_hessian_of_bfgs() -> None:
    k = 7
    pairs = [(s, s + 0.3 * gaussian(k, seed=10 + seed)) for seed, s in enumerate(gaussian(4, k, seed=5))]
    assert all(float(s @ y) > 0 for s, y in pairs)
    s, y = pairs[-1]
    inverse = torch.eye(k, dtype=torch.float64) * (s @ y) / (y @ y)
    for s, y in pairs:
        shift = torch.eye(k, dtype=torch.float64) - torch.outer(y, s) / (s @ y)
        inverse = shift.T @ inverse @ shift + torch.outer(s, s) / (s @ y)
    gradient = gaussian(k, seed=9)
    assert (_two_loops(gradient, pairs) - inverse @ gradient).norm() <= 1e3 * k * EPS * inverse.norm() * gradient.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loaded_state_continues_to_the_last_bit(dtype: torch.dtype) -> None:
    x = point(N, P, dtype=dtype)
    optimiser = RiemannianLBFGS([x], max_iterations=3)
    optimiser.step(Counted([x], eigenspace))
    y = nn.Parameter(x.detach().clone())
    other = RiemannianLBFGS([y], max_iterations=3)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for each, stepper in ((x, optimiser), (y, other)):
        stepper.step(Counted([each], eigenspace))
    assert torch.equal(x, y)


def test_a_point_without_a_gradient_stays() -> None:
    moved, still = point(N, P), point(5, 2)
    kept = still.detach().clone()
    RiemannianLBFGS([moved, still]).step(Counted([moved], eigenspace))
    assert (still - kept).abs().max() <= 30 * 5 * EPS


def test_a_wall_of_infinite_loss_is_stepped_back_from() -> None:
    x = point(N, P)
    start = x.detach().clone()

    def walled(x: Tensor) -> Tensor:
        return eigenspace(x) if float((x.detach() - start).norm()) < 1e-2 else x.square().sum() * math.inf

    optimiser = RiemannianLBFGS([x], max_iterations=5)
    first = optimiser.step(Counted([x], walled))
    assert float(eigenspace(x.detach())) < first
    assert stiefel.residual_in_eps(x) <= 30


def test_a_nan_is_named_before_a_point_is_written() -> None:
    x = point(N, P)
    before = x.detach().clone()
    with pytest.raises(NonFiniteError, match="must be finite"):
        RiemannianLBFGS([x]).step(Counted([x], lambda x: x.sum() * math.nan))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("error", "build"),
    [
        (SettingError, lambda: RiemannianLBFGS([point(N, P)], lr=0.0)),
        (SettingError, lambda: RiemannianLBFGS([point(N, P)], history=0)),
        (SettingError, lambda: RiemannianLBFGS([{"params": [point(N, P)]}, {"params": [point(N, P)]}])),
        (OffManifoldError, lambda: RiemannianLBFGS([nn.Parameter(2 * point(N, P).detach())])),
        (UnknownNameError, lambda: RiemannianLBFGS([point(N, P)], retraction="polar")),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_cannot_be_stepped_is_refused_when_the_optimiser_is_built(error: type[Exception], build) -> None:
    with pytest.raises(error):
        build()
