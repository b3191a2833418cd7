"""Every problem's optimum is what it is said to be: attained, stationary, not beaten, and found by another way."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import stiefel
from benchmarks.convergence import problems
from benchmarks.convergence.problem import Problem, generator, value_and_gradient
from benchmarks.convergence.problems import brockett, pca
from benchmarks.convergence.problems.digits_cnn import FIRST, first_kernel, patches
from benchmarks.convergence.problems.joint_diagonalisation import jacobi
from benchmarks.convergence.profiles import SMALL
from benchmarks.convergence.watch import Judge
from distill.data.digits import load_digits
from stiefel import interop
from stiefel.errors import ShapeError, UnknownNameError
from stiefel.manifold import tangent_projection

NAMES = list(problems.PROBLEMS)
SPECTRA = {"pca": pca.spectrum, "brockett": brockett.spectrum}
NETWORKS = (problems.get("copy_task"), problems.get("digits_cnn"))
EPS = torch.finfo(torch.float64).eps


@pytest.fixture(scope="module", params=NAMES)
def problem(request: pytest.FixtureRequest) -> Problem:
    return problems.build(SMALL.get(request.param, request.param))


def test_the_minimiser_is_a_point_and_attains_the_optimum(problem: Problem) -> None:
    x = problem.minimiser()
    assert x.dtype == torch.float64
    assert stiefel.residual_in_eps(x) <= 30
    # Sums of some thousand products of size about 1, the largest of which are cancelled to 1e-2.
    scale = max(abs(problem.optimum), float(problem.loss(problem.start(1))))
    assert float(problem.loss(x)) == pytest.approx(problem.optimum, abs=30 * problem.n * EPS * scale)


def test_the_minimiser_is_stationary(problem: Problem) -> None:
    x = problem.minimiser()
    _, gradient = value_and_gradient(problem, x)
    start = value_and_gradient(problem, problem.start(1))[1]
    # Jacobi's angles are good to 1e-10, everything else to rounding.
    least = 1e-8 if not problem.is_proved else 30 * problem.n * EPS
    assert float(tangent_projection(x, gradient).norm()) <= least * float(start.norm()) + 1e-12


def test_an_independent_solver_does_not_go_below_the_optimum(problem: Problem) -> None:
    start = problem.start(1)
    # From a random start a network may stop at a local minimum; there, a few steps have to do.
    is_network = isinstance(problem, NETWORKS)
    iterations = 10 if is_network else 500
    minimum = interop.minimise(problem.loss, start, solver="conjugate-gradient", max_iterations=iterations)
    gap = float(problem.loss(start)) - problem.optimum
    assert minimum.cost >= problem.optimum - 1e-10 * gap
    if not is_network:
        assert minimum.cost <= problem.optimum + 1e-6 * gap


def test_the_derivative_is_that_of_the_loss(problem: Problem) -> None:
    x = problem.start(3)
    along = tangent_projection(x, torch.randn(x.shape, dtype=x.dtype, generator=generator(3, 0)))
    along /= along.norm()
    h = 1e-5
    slope = (float(problem.loss(x + h * along)) - float(problem.loss(x - h * along))) / (2 * h)
    value, gradient = value_and_gradient(problem, x)
    # h² times a third derivative, and the rounding of both losses over h.
    assert slope == pytest.approx(
        float((gradient * along).sum()), abs=1e-8 * float(gradient.norm()) + 10 * EPS * abs(value) / h
    )


def test_batches_come_in_an_order_that_the_seed_alone_decides(problem: Problem) -> None:
    ours, again, other = (list(itertools.islice(problem.batches(seed), 60)) for seed in (1, 1, 2))
    if not problem.is_stochastic:
        assert ours == [None] * 60
        return
    assert all(torch.equal(one, two) for one, two in zip(ours, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(ours, other, strict=True))


def test_starts_are_points_and_differ_by_seed(problem: Problem) -> None:
    one, other = problem.start(1), problem.start(2)
    assert stiefel.residual_in_eps(one) <= 30
    assert torch.equal(one, problem.start(1))
    assert not torch.equal(one, other)
    if problem.n == problem.p:
        assert torch.linalg.det(one) * torch.linalg.det(problem.minimiser()) > 0


def test_methods_see_the_same_problem_in_their_own_precision(problem: Problem) -> None:
    working = problem.working
    assert working.dtype == (torch.float32 if problem.is_stochastic else torch.float64)
    x = problem.start(1)
    exact = float(problem.loss(x))
    # A float32 sum of some thousand terms.
    assert float(working.loss(x.to(working.dtype))) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("name", ["pca", "brockett"])
def test_the_spectrum_is_the_prescribed_one_and_gives_the_optimum(name: str) -> None:
    problem = problems.build(SMALL[name])
    values = torch.linalg.eigvalsh(problem.matrix)
    prescribed = torch.sort(SPECTRA[name](problem.n, problem.p)).values
    assert (values - prescribed).abs().max() <= 30 * problem.n * EPS
    p = problem.p
    best = -values[-p:].sum() / 2 if name == "pca" else (values[:p] * torch.arange(p, 0, -1) / p).sum() / 2
    assert problem.optimum == pytest.approx(float(best), abs=30 * problem.n * EPS)


def test_the_optimum_of_procrustes_is_that_of_its_nuclear_norm() -> None:
    problem = problems.build(SMALL["procrustes"])
    nuclear = torch.linalg.eigvalsh((m := problem.observed @ problem.given.T).T @ m).clamp_min(0).sqrt().sum()
    squares = problem.given.square().sum() + problem.observed.square().sum()
    assert problem.optimum == pytest.approx(float(squares / 2 - nuclear), abs=1e-10)


def test_jacobi_ends_at_the_same_value_from_other_starts() -> None:
    problem = problems.build("joint_diagonalisation:8x8")
    values = [float(problem.loss(jacobi(problem.covariances, problem.start(seed)))) for seed in (1, 2, 3)]
    assert values == pytest.approx([problem.optimum] * 3, rel=1e-9)


def test_the_products_of_the_digits_network_are_its_convolutions() -> None:
    problem = problems.build("digits_cnn")
    pixels = load_digits()[0].pixels[:5].double()
    x = problem.start(1)
    network = nn.Sequential(
        conv(first_kernel(torch.float64)),
        nn.ReLU(),
        conv(x.T.reshape(problem.p, FIRST, 3, 3)),
        nn.ReLU(),
        nn.AvgPool2d(4),
    )
    expected = network(pixels).detach().permute(0, 2, 3, 1).flatten(1)
    assert (problem._features(patches(pixels), x) - expected).abs().max() <= 1e-12
    assert functional.mse_loss(patches(pixels), problem.patches[:5]) == 0


def conv(kernel: torch.Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False, dtype=kernel.dtype)
    layer.weight.data.copy_(kernel)
    return layer


def test_the_copy_task_needs_all_of_its_memory() -> None:
    problem = problems.build("copy_task")
    # Outputs that nothing reaches are wrong for every symbol: ½ for each word and symbol, shared by the words' length.
    silent = torch.linalg.matrix_power(problem.solution, 2)
    assert float(problem.loss(problem.solution)) < 1e-28
    assert float(problem.loss(silent)) > 0.1


@pytest.mark.parametrize(
    "text", ["pca:3x5", "pca:x", "joint_diagonalisation:8x4", "copy_task:10x10", "vkd_projector:9x9"]
)
def test_a_shape_that_a_problem_cannot_have_is_one_sentence(text: str) -> None:
    with pytest.raises(ShapeError, match="must have shape"):
        problems.build(text)


def test_an_unknown_problem_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="choose one of pca"):
        problems.build("pcaa")


def test_a_gap_of_1_is_the_start_and_0_the_optimum() -> None:
    problem = problems.build("pca:20x3")
    judge = Judge(problem, problem.start(1))
    assert judge.look(problem.start(1))[0] == pytest.approx(1)
    assert judge.look(problem.minimiser())[0] == pytest.approx(0, abs=1e-14)
    assert math.isclose(judge.look(2 * problem.start(1))[0], 1)
