"""`stiefel.interop`: pymanopt's solvers find minima that are known."""

import math
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel import interop
from stiefel.errors import (
    CostError,
    DTypeError,
    MissingExtraError,
    NonFiniteError,
    OffManifoldError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from stiefel.manifold import tangent_projection

SOLVERS = interop.solvers()
# Steepest descent converges linearly, at the pace of the condition number: it gets problems of its own.
QUICK = ["conjugate-gradient", "trust-regions"]
EPS = torch.finfo(torch.float64).eps
N, P = 12, 3


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def start(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return stiefel.nearest_point(gaussian(*shape, seed=seed)).to(dtype)


# A = Q·D·Qᵀ, so its spectrum is D to rounding: see tests/regressions/test_benchmarks.py for what else is published.
SPECTRUM = torch.logspace(0, -2, N, dtype=torch.float64)
BASIS = start(N, N, seed=7)
COVARIANCE = (BASIS * SPECTRUM) @ BASIS.T
BEST = float(SPECTRUM[:P].sum())


def pca(point: Tensor) -> Tensor:
    return -(point * (COVARIANCE @ point)).sum()


def riemannian_gradient_norm(cost: Callable[[Tensor], Tensor], point: Tensor) -> float:
    point = point.detach().requires_grad_()
    (slope,) = torch.autograd.grad(cost(point), point)
    return float(torch.linalg.vector_norm(tangent_projection(point.detach(), slope)))


@pytest.mark.parametrize("retraction", ["qr", "polar"])
@pytest.mark.parametrize("solver", QUICK)
def test_pca_reaches_the_sum_of_the_top_eigenvalues(solver: str, retraction: str) -> None:
    minimum = interop.minimise(pca, start(N, P), solver=solver, retraction=retraction)
    # The gap is the square of the gradient over the spectrum's gap, 1e-12 over 0.15; the rest is rounding.
    assert abs(minimum.cost + BEST) <= 1e-9 * BEST
    assert minimum.stopped_by == "gradient norm"
    assert minimum.gradient_norm < 1e-6
    assert riemannian_gradient_norm(pca, minimum.point) == pytest.approx(minimum.gradient_norm, abs=30 * N * EPS * BEST)
    assert stiefel.residual_in_eps(minimum.point) <= 30


def test_steepest_descent_reaches_it_too_where_the_spectrum_is_kind() -> None:
    values = torch.tensor([5.0, 4.0, 3.0] + [1.0] * (N - P), dtype=torch.float64)
    matrix = (BASIS * values) @ BASIS.T
    minimum = interop.minimise(lambda x: -torch.trace(x.T @ matrix @ x), start(N, P), solver="steepest-descent")
    assert minimum.cost == pytest.approx(-12, rel=1e-9)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_our_optimisers_and_pymanopts_solvers_agree_on_the_optimum(name: str) -> None:
    layer = nn.Linear(P, N, bias=False, dtype=torch.float64)
    layer.weight.data.copy_(start(N, P))
    stiefel.attach(layer, by="riemannian")
    optimiser = stiefel.optim.build(layer, name, lr={"sgd": 0.5, "adam": 0.03}[name])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 500)
    for _ in range(500):
        optimiser.zero_grad()
        pca(layer.weight).backward()
        optimiser.step()
        schedule.step()
    theirs = interop.minimise(pca, start(N, P)).point
    ours = layer.weight.detach()
    assert float(pca(ours)) == pytest.approx(float(pca(theirs)), rel=1e-9)
    # The subspaces agree; the basis inside one is anybody's. Their distance is the root of the gap in the cost.
    assert (ours @ ours.T - theirs @ theirs.T).abs().max() < 1e-4


@pytest.mark.parametrize("solver", SOLVERS)
def test_procrustes_finds_the_planted_rotation(solver: str) -> None:
    planted = start(N, P, seed=3)
    a = torch.eye(N, dtype=torch.float64) + 0.1 * gaussian(N, N, seed=4)
    b = a @ planted
    near = stiefel.nearest_point(planted + 0.1 * gaussian(N, P, seed=5))
    minimum = interop.minimise(lambda x: (a @ x - b).square().sum(), near, solver=solver)
    # A gradient of 1e-6 over the least curvature, 2·σ(A)² of about 0.3.
    assert (minimum.point - planted).norm() < 1e-5
    assert minimum.stopped_by == "gradient norm"


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_linear_cost_is_minimised_by_the_polar_factor(solver: str) -> None:
    target = gaussian(N, P, seed=3)
    minimum = interop.minimise(lambda x: -(x * target).sum(), start(N, P), solver=solver)
    assert minimum.cost == pytest.approx(-float(torch.linalg.svdvals(target).sum()), rel=1e-9)
    assert (minimum.point - stiefel.nearest_point(target)).norm() < 1e-5


@pytest.mark.parametrize("solver", QUICK)
@pytest.mark.parametrize("batch", [(1,), (3,), (2, 2)])
def test_a_batch_is_minimised_over_matrix_by_matrix(batch: tuple[int, ...], solver: str) -> None:
    def cost(points: Tensor) -> Tensor:
        assert points.shape == (*batch, N, P)
        return pca(points)

    minimum = interop.minimise(cost, start(*batch, N, P), solver=solver)
    each = (minimum.point * (COVARIANCE @ minimum.point)).sum((-2, -1))
    assert minimum.point.shape == (*batch, N, P)
    assert (each / BEST - 1).abs().max() < 1e-9


@pytest.mark.parametrize("solver", QUICK)
def test_several_points_of_several_shapes_are_minimised_over_together(solver: str) -> None:
    matrix = gaussian(6, 5, seed=3)
    left, right = start(6, 2), start(5, 2, seed=2)
    minimum = interop.minimise(lambda u, v: -(u.T @ matrix @ v).trace(), [left, right], solver=solver)
    assert minimum.cost == pytest.approx(-float(torch.linalg.svdvals(matrix)[:2].sum()), rel=1e-9)
    assert [point.shape for point in minimum.points] == [left.shape, right.shape]
    assert minimum.point is minimum.points[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_point_that_the_cost_leaves_out_stays_where_it_is(solver: str) -> None:
    idle = start(5, 2)
    target = gaussian(N, P, seed=3)
    minimum = interop.minimise(lambda x, _: (x - target).square().sum(), [start(N, P), idle], solver=solver)
    assert (minimum.points[1] - idle).abs().max() <= 30 * 5 * EPS
    assert minimum.stopped_by == "gradient norm"


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_at_the_minimum_is_returned_without_a_step(solver: str) -> None:
    there = torch.eye(N, P, dtype=torch.float64)
    minimum = interop.minimise(lambda x: -(x * there).sum(), there, solver=solver)
    assert (minimum.iterations, minimum.stopped_by) == (0, "gradient norm")
    assert torch.equal(minimum.point, there)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_gradient_that_becomes_exactly_zero_ends_the_search(solver: str) -> None:
    # On the circle, where a step can land on the axis to the last bit.
    axis = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    minimum = interop.minimise(lambda x: -(x * axis).sum(), stiefel.nearest_point(axis + 0.1), solver=solver)
    assert (minimum.point - axis).norm() < 1e-6
    assert interop.minimise(lambda x: x.sum(), torch.ones(1, 1), solver=solver).cost == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_number_of_iterations_is_the_number_of_steps(solver: str) -> None:
    one = interop.minimise(pca, start(N, P), solver=solver, max_iterations=1)
    assert (one.iterations, one.stopped_by) == (1, "iterations")
    assert one.cost < float(pca(start(N, P)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_runs_are_the_same_to_the_last_bit(solver: str) -> None:
    one, other = (interop.minimise(pca, start(N, P), solver=solver, max_iterations=30) for _ in range(2))
    assert torch.equal(one.point, other.point)
    assert (one.cost, one.gradient_norm, one.iterations) == (other.cost, other.gradient_norm, other.iterations)


def test_the_point_has_the_dtype_of_the_start_and_the_start_is_left_alone() -> None:
    begin = start(N, P, dtype=torch.float32)
    before = begin.clone()
    minimum = interop.minimise(pca, begin)
    assert minimum.point.dtype == torch.float32
    assert stiefel.residual_in_eps(minimum.point) <= 30
    assert torch.equal(begin, before)
    # The cost is that of the float64 point.
    assert minimum.cost == pytest.approx(-BEST, rel=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_is_printed_and_no_gradient_is_left_behind(solver: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = nn.Parameter(gaussian(N, P, seed=3))
    interop.minimise(lambda x: (x - target).square().sum(), start(N, P), solver=solver)
    assert capsys.readouterr() == ("", "")
    assert target.grad is None


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_cost_may_be_infinite_where_it_is_not_defined(solver: str) -> None:
    begin = start(N, P)
    values: list[float] = []

    def cost(point: Tensor) -> Tensor:
        far = (point - begin).norm() > 0.5
        values.append(math.inf if far else 0.0)
        return torch.where(far, math.inf, pca(point))

    minimum = interop.minimise(cost, begin, solver=solver, max_iterations=5)
    assert math.inf in values
    assert minimum.cost < float(pca(begin))


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (UnknownNameError, "unknown solver 'lbfgs'; choose one of conjugate-gradient", {"solver": "lbfgs"}),
        (UnknownNameError, "unknown retraction 'exp'; choose one of polar, qr", {"retraction": "exp"}),
        (SettingError, "tolerance must be > 0", {"tolerance": 0.0}),
        (SettingError, "max_iterations must be >= 1", {"max_iterations": 0}),
        (SettingError, "start must be a point or a list of points", {"start": []}),
        (ShapeError, "n >= p", {"start": torch.eye(2, 5)}),
        (ShapeError, "without an empty batch|no empty batch", {"start": torch.zeros(0, 5, 2)}),
        (DTypeError, "start must be float32 or float64", {"start": torch.eye(5, 2, dtype=torch.bfloat16)}),
        (NonFiniteError, "start must be finite", {"start": torch.full((5, 2), math.nan)}),
        (OffManifoldError, "stiefel.nearest_point", {"start": torch.ones(5, 2)}),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_wrong_call_is_refused_in_one_sentence(error: type[Exception], match: str, call: dict[str, object]) -> None:
    with pytest.raises(error, match=match):
        interop.minimise(**{"cost": pca, "start": start(N, P), **call})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("match", "cost"),
    [
        (r"got shape \(3,\); reduce it", lambda x: x.sum(0)),
        ("got a float", lambda x: float(x.detach().sum())),
        ("torch.int64", lambda x: x.sum().long()),
        ("NaN", lambda x: x.sum() * math.nan),
        ("inf at the start", lambda x: x.sum() + math.inf),
        ("doesn't depend on them", lambda x: x.detach().sum()),
        ("doesn't depend on them", lambda x: torch.ones((), requires_grad=True).exp()),
        ("derivative with 36 NaN or infinite entries", lambda x: (x - x).norm() + (0 * x.sum()).sqrt()),
    ],
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_wrong_cost_is_refused_without_a_word_of_pymanopts(
    solver: str, match: str, cost: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(CostError, match=match) as raised:
        interop.minimise(cost, start(N, P), solver=solver)
    assert not any("pymanopt/" in str(entry.path) for entry in raised.traceback)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_nan_on_the_way_is_refused_without_a_word_of_pymanopts(solver: str) -> None:
    begin = start(N, P)
    with pytest.raises(CostError, match="got NaN") as raised:
        interop.minimise(lambda x: torch.where((x - begin).norm() > 0, math.nan, pca(x)), begin, solver=solver)
    assert not any("pymanopt/" in str(entry.path) for entry in raised.traceback)


def test_a_cost_that_changes_between_calls_is_refused() -> None:
    values = iter(range(9))
    with pytest.raises(CostError, match="at the same points; use one fixed batch"):
        interop.minimise(lambda x: x.sum() + next(values), start(N, P))


def test_without_pymanopt_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pymanopt"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymanopt", None)
    with pytest.raises(MissingExtraError, match=r"^stiefel.interop needs pymanopt; install `stiefel-distill\[pymano"):
        interop.minimise(pca, start(N, P))
