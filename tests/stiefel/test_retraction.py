"""The landing retraction: the polar factor while a step is short enough, and a point after any step."""

import math
from collections.abc import Callable

import geoopt
import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.manifold import tangent_projection
from stiefel.optim import RiemannianAdam
from stiefel.optim.retraction import RETRACTIONS, LandingStiefel, Retraction, landing

DTYPES = (torch.float32, torch.float64)
# ‖U‖₂ up to 1.4 has ‖UᵀU‖₁ <= √p·1.4² <= 4 for p = 4: nothing is shortened.
WHOLE = (0.0, 1e-30, 1e-3, 0.02, 0.1, 0.5, 1.0, 1.4)


def start_and_tangent(n: int, p: int, dtype: torch.dtype, *, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Return a point of a batch of two and a tangent there whose spectral norm is 1."""
    generator = torch.Generator().manual_seed(n)
    start = stiefel.random_point(2, n, p, generator=generator, dtype=dtype)
    rank = p if rank is None else rank
    left = torch.randn(2, n, rank, generator=generator, dtype=dtype)
    ambient = left @ torch.randn(2, rank, p, generator=generator, dtype=dtype)
    tangent = tangent_projection(start, ambient)
    return start, tangent / torch.linalg.matrix_norm(tangent, ord=2, keepdim=True)


@pytest.fixture
def blind(unchecked_shapes: None) -> Callable[..., Tensor]:
    """Return the retraction as a compiler sees it, which can't read a value: what a GPU runs too."""
    torch.compiler.reset()
    return torch.compile(landing, backend="eager", fullgraph=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", WHOLE)
@pytest.mark.parametrize("n", [4, 40])
def test_a_step_is_the_polar_factor(n: int, length: float, dtype: torch.dtype) -> None:
    start, tangent = start_and_tangent(n, 4, dtype)
    # The oracle is LAPACK's SVD in float64.
    left, _, right = torch.linalg.svd((start + length * tangent).double(), full_matrices=False)
    difference = landing(start, tangent, factor=length).double() - left @ right
    assert torch.linalg.matrix_norm(difference, ord=2).amax() <= 30 * n * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("n", [4, 40])
def test_eight_steps_without_looking_are_enough_for_any_length(
    n: int, rank: int, dtype: torch.dtype, blind: Callable[..., Tensor]
) -> None:
    start, tangent = start_and_tangent(n, 4, dtype, rank=rank)
    for length in (*WHOLE, 2.0, 3.0, 300.0, 1e6, 1e18, 1e30):
        factor = torch.full((2, 1, 1), length, dtype=dtype)
        moved = blind(start, tangent, factor=factor)
        assert stiefel.residual_in_eps(moved) <= 30
        assert torch.dist(moved, landing(start, tangent, factor=factor)) <= 30 * n * torch.finfo(dtype).eps


def test_a_poisoned_step_makes_its_own_point_nan_where_nobody_can_look(blind: Callable[..., Tensor]) -> None:
    start, tangent = start_and_tangent(9, 4, torch.float32)
    tangent[0, 2, 1] = math.nan
    moved = blind(start, tangent, factor=torch.full((2, 1, 1), 0.1))
    assert moved[0].isnan().any()
    assert stiefel.residual_in_eps(moved[1]) <= 30


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_step_is_shortened_to_two_in_the_same_direction(dtype: torch.dtype) -> None:
    # One column: the polar factor of x + s·u is the unit vector at the angle atan s, and s is 2 at most.
    start, tangent = start_and_tangent(7, 1, dtype)
    for length in (3.0, 1e6, 1e18):
        moved = landing(start, tangent, factor=length)
        assert torch.dist(moved, (start + 2 * tangent) / math.sqrt(5)) <= 30 * 7 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_matrix_moves_to_the_same_bits_whatever_its_neighbours_do(dtype: torch.dtype) -> None:
    start, tangent = start_and_tangent(12, 4, dtype)
    lengths = torch.tensor([0.0, 1e-4, 1e-2, 0.3, 1.0, 5.0, 1e9, 1e25], dtype=dtype).reshape(-1, 1, 1)
    starts, tangents = start[:1].expand(8, 12, 4), tangent[:1].expand(8, 12, 4)
    together = landing(starts, tangents, factor=lengths)
    for index, length in enumerate(lengths):
        assert torch.equal(together[index], landing(start[:1], tangent[:1], factor=length.unsqueeze(0))[0])


@pytest.mark.parametrize("lr", [1e-3, 0.1, 0.3])
def test_adam_on_a_normal_gradient_stays_on_the_manifold(lr: float) -> None:
    # The Riemannian gradient is rounding, Adam makes a whole step of it, and that step is not tangent.
    walker = nn.Parameter(stiefel.random_point(8, 32, 16, generator=torch.Generator().manual_seed(0)))
    square = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    optimiser = RiemannianAdam([walker], lr=lr, retraction="landing")
    for _ in range(3):
        walker.grad = walker.detach() @ (square + square.T)
        optimiser.step()
        assert stiefel.residual_in_eps(walker) <= 30


@pytest.mark.parametrize("retraction", RETRACTIONS)
@pytest.mark.parametrize("optimiser", [geoopt.optim.RiemannianSGD, geoopt.optim.RiemannianAdam])
def test_geoopts_optimisers_retract_by_the_manifold(
    optimiser: type[torch.optim.Optimizer], retraction: Retraction
) -> None:
    manifold = {"qr": geoopt.EuclideanStiefel, "landing": LandingStiefel}[retraction]()
    start, tangent = start_and_tangent(9, 4, torch.float64)
    walker = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    walker.grad = tangent
    optimiser([walker], lr=0.1).step()
    step = 0.1 * tangent
    if optimiser is geoopt.optim.RiemannianAdam:
        step = step / (tangent.square().sum((-2, -1), keepdim=True).sqrt() + 1e-8)
    expected = RETRACTIONS[retraction](start, step, factor=-1.0)
    assert torch.dist(walker.detach().as_subclass(Tensor), expected) <= 30 * 9 * torch.finfo(torch.float64).eps
