"""Logarithms against an independent exponential and closed forms, distances, transports and means; clear errors."""

import math

import pytest
import torch
from torch import Tensor

from proofs.oracles import geodesic as independent_exp
from stiefel import geodesics, manifold
from stiefel.errors import DTypeError, NonFiniteError, NotConvergedError, ShapeError, StiefelError

EPS = torch.finfo(torch.float64).eps
# n >> p, p = 1, n = 2p, p > n/2, one column short of square, and square.
SIZES = [(40, 2), (3, 1), (40, 1), (8, 4), (5, 3), (7, 6), (4, 4)]
# Up to 0.86π; every geodesic below 0.89π is the only shortest one.
LENGTHS = [1e-12, 1e-3, 1.0, 2.0, 2.7]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def place(size: tuple[int, int], length: float, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return three points and a tangent vector at each of the given canonical length."""
    point = manifold.random_point(3, *size, generator=generator(seed), dtype=torch.float64)
    tangent = manifold.tangent_projection(point, gaussian(3, *size, seed=seed + 1))
    return point, tangent * (length / canonical_norm(point, tangent))[:, None, None]


def canonical_norm(point: Tensor, tangent: Tensor) -> Tensor:
    """Return √tr(Uᵀ(I − ½XXᵀ)U), with the n × n matrix written out."""
    metric = torch.eye(point.shape[-2], dtype=point.dtype) - point @ point.mT / 2
    return (tangent * (metric @ tangent)).sum((-2, -1)).sqrt()


def rounding(rows: int, length: float = 0.0, *, dtype: torch.dtype = torch.float64) -> float:
    """Return 30·n·eps, LAPACK's unit, times the condition of the logarithm at this distance.

    The curvature is at most 5/4 (Rentmeesters 2013), so by Rauch's theorem exp shrinks no tangent by more than
    sin(r)/r with r = √(5/4)·length: 1.2 at length 1, 2.8 at 2 and 25 at 2.7. Measured at 2.7: 58 n·eps of 740.
    """
    scaled = math.sqrt(5 / 4) * length
    return 30 * rows * torch.finfo(dtype).eps * (scaled / math.sin(scaled) if scaled else 1.0)


def far(one: Tensor, other: Tensor) -> float:
    return float(torch.linalg.matrix_norm(one - other).max())


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_log_inverts_exp_inside_the_injectivity_radius(
    size: tuple[int, int], length: float, dtype: torch.dtype
) -> None:
    point, tangent = (tensor.to(dtype) for tensor in place(size, length))
    target = manifold.exp(point, tangent)
    found = geodesics.log(point, target)
    assert found.dtype == dtype
    assert far(found, tangent) <= rounding(size[0], length, dtype=dtype)
    # The way back isn't conditioned: exp is 1-Lipschitz up to the metrics' factor √2.
    assert far(manifold.exp(point, found), target) <= rounding(size[0], dtype=dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exp_of_log_reaches_the_target_by_an_independent_exponential(size: tuple[int, int]) -> None:
    point, tangent = place(size, 2.0)
    target = independent_exp("canonical", point, tangent)
    assert far(independent_exp("canonical", point, geodesics.log(point, target)), target) <= rounding(size[0])


@pytest.mark.parametrize("rows", [2, 3, 40])
def test_one_column_gives_the_sphere(rows: int) -> None:
    point, target = (manifold.random_point(50, rows, 1, generator=generator(s), dtype=torch.float64) for s in (3, 4))
    cosine = (point * target).sum(-2, keepdim=True)
    angle = cosine.arccos()
    # arccos loses 1/sin of its digits, at either end.
    bound = rounding(rows) / float(angle.sin().min())
    assert (geodesics.distance(point, target) - angle[..., 0, 0]).abs().max() <= bound
    assert far(geodesics.log(point, target), angle / angle.sin() * (target - cosine * point)) <= math.pi * bound


@pytest.mark.parametrize("angles", [[3.1], [0.0, 3.1], [1.0, 1.0, 1.0], [0.0, 1e-9, 2.0, 3.1]], ids=str)
@pytest.mark.parametrize("odd", [0, 1])
def test_square_points_give_the_principal_logarithm_of_a_rotation(angles: list[float], odd: int) -> None:
    # Where all angles are equal no eigenvector is determined by the rotation.
    rows = 2 * len(angles) + odd
    blocks = [angle * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64) for angle in angles]
    skew = torch.block_diag(*blocks, *[torch.zeros(1, 1, dtype=torch.float64)] * odd)
    basis, point = (manifold.random_point(rows, rows, generator=generator(s), dtype=torch.float64) for s in (5, 6))
    skew = basis @ skew @ basis.mT
    found = geodesics.log(point, point @ torch.matrix_exp(skew))
    # The condition of the logarithm of a rotation is θ/sin θ: 75 at 3.1.
    assert far(found, point @ skew) <= rounding(rows) * 3.1 / math.sin(3.1)


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("length", [1e-3, 1.0, 2.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_distance_is_symmetric_and_the_canonical_length_of_the_logarithm(
    size: tuple[int, int], length: float, dtype: torch.dtype
) -> None:
    point, tangent = place(size, length)
    point, target = point.to(dtype), manifold.exp(point, tangent).to(dtype)
    there, back = geodesics.distance(point, target), geodesics.distance(target, point)
    # A distance changes by no more than its ends move: it needs no condition.
    bound = rounding(size[0], dtype=dtype)
    assert (there - length).abs().max() <= bound
    assert (there - back).abs().max() <= bound
    found = geodesics.log(point, target)
    assert (canonical_norm(point, found) - there).abs().max() <= bound
    assert (geodesics.canonical_inner(point, found, found) - there**2).abs().max() <= 2 * length * bound


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_batch_is_its_members_one_by_one(size: tuple[int, int]) -> None:
    point, tangent = place(size, 1.0)
    target = manifold.exp(point, tangent * torch.tensor([0.0, 0.1, 2.0]).double()[:, None, None])
    pairs = list(zip(point, target, strict=True))
    # A member that converges early is iterated on with the others.
    assert far(geodesics.log(point, target), torch.stack([geodesics.log(*x) for x in pairs])) <= rounding(size[0], 2.0)
    lengths = torch.stack([geodesics.distance(*x) for x in pairs])
    assert (geodesics.distance(point[None], target[None])[0] - lengths).abs().max() <= rounding(size[0])


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("length", [0.0, 1e-300, 1e-160, 1e-30, 1e-12, 1e-6])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiny_and_zero_distances_have_finite_gradients_of_norm_one_at_most(
    size: tuple[int, int], length: float, dtype: torch.dtype
) -> None:
    point, tangent = place(size, length)
    ends = [end.to(dtype).requires_grad_() for end in (point, manifold.exp(point, tangent))]
    gap = geodesics.distance(ends[0], ends[1])
    assert (gap.detach() - length).abs().max() <= rounding(size[0], dtype=dtype)
    for gradient in torch.autograd.grad(gap.sum(), ends):
        # (½A, B) is never longer than (A/√2, B), the unit tangent.
        assert torch.linalg.matrix_norm(gradient).max() <= 1 + rounding(size[0], dtype=dtype)


def test_the_gradient_survives_a_distance_whose_square_underflows() -> None:
    point = torch.tensor([[1.0], [0.0]], dtype=torch.float64, requires_grad=True)
    gap = geodesics.distance(point, torch.tensor([[1.0], [1e-170]], dtype=torch.float64))
    assert gap == 0
    assert torch.autograd.grad(gap, point)[0].abs().max() <= 1


@pytest.mark.parametrize("size", [(6, 2), (5, 3), (4, 4), (4, 1)], ids=str)
def test_the_gradient_of_the_distance_is_that_of_finite_differences(size: tuple[int, int]) -> None:
    point, tangent = (tensor[0] for tensor in place(size, 1.3))
    target = manifold.exp(point, tangent)

    def between(one: Tensor, other: Tensor) -> Tensor:
        # On the manifold only: off it the distance has no derivative to check.
        ends = (manifold.exp(x, manifold.tangent_projection(x, free)) for x, free in ((point, one), (target, other)))
        return geodesics.distance(*ends)

    free = [torch.zeros(*size, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    # Central differences of step 1e-5: truncation 1e-10 times a third derivative, rounding 30·n·eps/1e-5 = 4e-9.
    assert torch.autograd.gradcheck(between, free, eps=1e-5, atol=1e-7, rtol=0.0)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_geodesic_joins_its_ends_at_constant_speed(size: tuple[int, int]) -> None:
    point, tangent = place(size, 1.5)
    target = manifold.exp(point, tangent)
    times = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    path = geodesics.geodesic(point, target, times)
    assert path.shape == (4, *point.shape)
    bound = rounding(size[0])
    assert far(path[0].detach(), point) <= bound
    assert far(path[-1].detach(), target) <= bound
    for stop, time in zip(path.detach(), (0.0, 0.25, 0.5, 1.0), strict=True):
        assert (geodesics.distance(point, stop) - 1.5 * time).abs().max() <= bound
        assert (geodesics.distance(stop, target) - 1.5 * (1 - time)).abs().max() <= bound
    # The derivative in time of ⟨path, V⟩ at 0 is ⟨U, V⟩.
    other = gaussian(3, *size, seed=8)
    (slope,) = torch.autograd.grad((path[0] * other).sum(), times)
    assert abs(float(slope[0] - (tangent * other).sum())) <= rounding(size[0], 1.5) * float(other.norm())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_both_transports_land_in_the_tangent_space(size: tuple[int, int]) -> None:
    point, direction = place(size, 1.0)
    tangent = manifold.tangent_projection(point, gaussian(3, *size, seed=9))
    end = manifold.exp(point, direction)
    bound = rounding(size[0]) * float(tangent.norm())
    for moved in (geodesics.transport(tangent, end), geodesics.transport_along(point, direction, tangent)):
        inner = end.mT @ moved
        assert (inner + inner.mT).abs().max() <= bound
    assert geodesics.transport(tangent, end).norm() <= tangent.norm() + bound
    assert far(geodesics.transport(tangent, point), tangent) <= bound


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_transport_along_is_the_derivative_of_exp_and_obeys_the_lemma_of_gauss(size: tuple[int, int]) -> None:
    point, direction = place(size, 1.0)
    tangent = manifold.tangent_projection(point, direction.roll(1, 0))
    end, moved = manifold.exp(point, direction), geodesics.transport_along(point, direction, tangent)
    step = EPS ** (1 / 3)
    ahead, behind = (independent_exp("canonical", point, direction + s * step * tangent) for s in (1, -1))
    # Truncation step² and rounding 30·n·eps/step = 30·n·step² of a central difference.
    assert far((ahead - behind) / (2 * step), moved) <= 31 * size[0] * step**2
    velocity = geodesics.transport_along(point, direction, direction)
    assert far(velocity, -geodesics.log(end, point)) <= rounding(size[0], 1.0)
    kept = geodesics.canonical_inner(end, velocity, moved) - geodesics.canonical_inner(point, direction, tangent)
    assert kept.abs().max() <= rounding(size[0], 1.0)


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_mean_of_symmetric_points_is_their_centre_and_of_two_points_their_midpoint(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    centre, tangent = place(size, 0.5)
    other = manifold.tangent_projection(centre, tangent.roll(1, 0))
    points = torch.stack([manifold.exp(centre, step) for step in (tangent, -tangent, other, -other)]).to(dtype)
    # The gradient's tolerance, over the least curvature r·cot r of half a squared distance (r = √(5/4)/2: 0.89),
    # beside as much for rounding.
    bound = 30 * size[0] * torch.finfo(dtype).eps
    found = geodesics.frechet_mean(points)
    assert found.point.dtype == dtype
    assert (found.residual <= bound).all()
    assert far(found.point.double(), centre) <= bound / 0.89 * math.sqrt(2) + bound
    midpoint = geodesics.geodesic(points[0], points[2], torch.tensor([0.5], dtype=dtype))[0]
    assert far(geodesics.frechet_mean(points[::2]).point, midpoint) <= bound / 0.89 * math.sqrt(2) + bound
    assert far(geodesics.frechet_mean(points[:1]).point, points[0]) <= bound


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_mean_of_scattered_points_has_no_mean_logarithm_and_is_found_in_twenty_steps(size: tuple[int, int]) -> None:
    centre = place(size, 0.0)[0]
    spread = [place(size, length)[1].roll(k, 0) for k, length in enumerate((0.2, 0.7, 1.2))]
    points = torch.stack([manifold.exp(centre, manifold.tangent_projection(centre, step)) for step in spread])
    # A full step contracts by the curvature, 14 steps measured; half a step by ½, 41 steps.
    found = geodesics.frechet_mean(points, iterations=20)
    gradient = torch.stack([geodesics.log(found.point, sample) for sample in points]).mean(0)
    assert (canonical_norm(found.point, gradient) <= 2 * rounding(size[0])).all()
    assert (found.residual <= rounding(size[0])).all()


def test_a_mean_that_has_not_converged_says_so() -> None:
    points = place((6, 3), 1.0)[0][:1] + 0.3 * gaussian(4, 6, 3, seed=10)
    with pytest.raises(
        NotConvergedError, match=r"Fréchet mean must end .* after 1 iterations; bring the points closer"
    ):
        geodesics.frechet_mean(points, iterations=1)
    assert geodesics.frechet_mean(points, tolerance=1e-3).residual <= 1e-3


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 4), (2, 1), (5, 1), (5, 2), (5, 3), (6, 5)], ids=str)
def test_opposite_points_have_no_logarithm_and_the_error_says_what_to_do(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    point = manifold.random_point(*size, generator=generator(11), dtype=dtype)
    with pytest.raises(NotConvergedError, match=r"Stiefel logarithm must end .* bring the two closer") as raised:
        geodesics.distance(point, -point)
    assert raised.value.residual > raised.value.tolerance


def test_a_reflection_and_a_matrix_off_the_manifold_have_no_logarithm() -> None:
    point = manifold.random_point(4, 4, generator=generator(12), dtype=torch.float64)
    for target in (point @ torch.diag(torch.tensor([1.0, 1.0, 1.0, -1.0]).double()), 1.1 * point):
        with pytest.raises(NotConvergedError, match=r"both on the manifold: .*det XᵀY > 0"):
            geodesics.log(point, target)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        (torch.eye(4, 3), ShapeError, "target must have shape (4, 2) like the point, got (4, 3)"),
        (torch.eye(4, 2).double(), DTypeError, "target must be torch.float32 like the point, got torch.float64"),
        (torch.full((4, 2), math.nan), NonFiniteError, "target must be finite, got 8 NaN"),
    ],
    ids=["shape", "dtype", "NaN"],
)
def test_a_target_that_does_not_fit_is_refused_in_a_sentence(
    target: Tensor, error: type[StiefelError], sentence: str
) -> None:
    with pytest.raises(error) as raised:
        geodesics.log(torch.eye(4, 2), target)
    assert sentence in str(raised.value)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("points", [torch.eye(4, 2), torch.zeros(0, 4, 2)], ids=["one", "none"])
def test_a_mean_needs_a_stack_of_points(points: Tensor) -> None:
    with pytest.raises(ShapeError, match="stack the points"):
        geodesics.frechet_mean(points)
