"""St(n, p): geodesics against an independent formula, projections, nearest and uniform points, clear errors."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from proofs.oracles import geodesic
from stiefel import manifold
from stiefel.errors import DTypeError, NonFiniteError, ShapeError, StiefelError
from stiefel.linalg import skew

EPS = torch.finfo(torch.float64).eps
SIZES = [(1, 1), (5, 1), (6, 3), (4, 4), (7, 6), (40, 2)]
BATCHES = [(), (3,)]
METRICS = ["canonical", "euclidean"]
# Six standard errors: a right sampler fails one such test in 500 million.
SIGMAS = 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def place(size: tuple[int, int], batch: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
    """Return a point and a tangent vector there of spectral norm one."""
    point = manifold.random_point(*batch, *size, generator=generator(1), dtype=torch.float64)
    tangent = manifold.tangent_projection(point, gaussian(*batch, *size, seed=2))
    return point, tangent / torch.linalg.matrix_norm(tangent, ord=2, keepdim=True).clamp_min(EPS)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("time", [1e-30, 1e-6, 1.0, math.pi])
def test_exp_agrees_with_exponentials_of_skew_matrices(
    size: tuple[int, int], batch: tuple[int, ...], metric: str, time: float
) -> None:
    point, tangent = place(size, batch)
    reached = manifold.exp(point, time * tangent, metric=metric)
    # 30 n·eps, LAPACK's unit, times the norm of the exponent as no polish follows the exponential.
    bound = 30 * size[0] * EPS * max(1.0, time)
    assert (torch.linalg.matrix_norm(reached - geodesic(metric, point, time * tangent), ord=2) <= bound).all()
    assert (manifold.residual(reached) <= bound).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [(6, 3), (4, 4)], ids=str)
def test_exp_leaves_with_its_velocity_and_accelerates_along_the_normal_space(
    size: tuple[int, int], metric: str
) -> None:
    point, tangent = place(size)
    t = (size[0] * EPS) ** (1 / 4)
    ahead, behind = (manifold.exp(point, sign * t * tangent, metric=metric) for sign in (1, -1))
    # Truncation t²/6 and rounding 30·n·eps/t = 30·t³ of a central difference.
    assert torch.linalg.matrix_norm((ahead - behind) / (2 * t) - tangent, ord=2) <= t**2
    if metric == "euclidean":
        # The Euclidean geodesic of an embedded manifold has no tangent acceleration: t²/12 and 4·30·n·eps/t².
        acceleration = (ahead - 2 * point + behind) / t**2
        inside = manifold.tangent_projection(point, acceleration)
        assert torch.linalg.matrix_norm(inside, ord=2) <= 121 * t**2


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_compact_canonical_geodesic_is_the_dense_one(size: tuple[int, int]) -> None:
    point, tangent = place(size)
    difference = manifold.exp(point, tangent) - manifold.dense_exp(point, tangent)
    assert torch.linalg.matrix_norm(difference, ord=2) <= 30 * size[0] * EPS


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_tangent_projection_is_tangent_idempotent_and_self_adjoint(
    size: tuple[int, int], batch: tuple[int, ...]
) -> None:
    point = place(size, batch)[0]
    one, other = gaussian(*batch, *size, seed=3), gaussian(*batch, *size, seed=4)
    projected = manifold.tangent_projection(point, one)
    bound = 30 * size[0] * EPS * float(torch.linalg.matrix_norm(one).max())
    inner = point.mT @ projected
    assert (inner + inner.mT).abs().max() <= bound
    assert (manifold.tangent_projection(point, projected) - projected).abs().max() <= bound
    pairs = [(projected * other).sum((-2, -1)), (one * manifold.tangent_projection(point, other)).sum((-2, -1))]
    assert (pairs[0] - pairs[1]).abs().max() <= bound * float(torch.linalg.matrix_norm(other).max())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_split_tangent_gives_the_parts_of_the_projection(size: tuple[int, int]) -> None:
    point, ambient = place(size)[0], gaussian(*size, seed=5)
    rotation, normal = manifold.split_tangent(point, ambient)
    bound = 30 * size[0] * EPS * float(torch.linalg.matrix_norm(ambient))
    assert torch.equal(rotation, -rotation.mT)
    assert (point.mT @ normal).abs().max() <= bound
    whole = point @ rotation + normal
    assert (whole - manifold.tangent_projection(point, ambient)).abs().max() <= bound


@pytest.mark.parametrize("dtype", manifold.FLOATS, ids=str)
@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_nearest_point_is_the_polar_factor_to_rounding(
    size: tuple[int, int], batch: tuple[int, ...], dtype: torch.dtype
) -> None:
    ambient = gaussian(*batch, *size, seed=6)
    left, values, right = torch.linalg.svd(ambient, full_matrices=False)
    nearest = manifold.nearest_point(ambient.to(dtype))
    assert manifold.residual_in_eps(nearest) <= 1
    # The polar factor's condition is 1/σ_min.
    bound = 30 * size[0] * torch.finfo(dtype).eps * float(values.max() / values.min())
    assert (nearest.double() - left @ right).abs().max() <= bound


def test_no_point_is_nearer_than_the_nearest() -> None:
    ambient = gaussian(5, 3, seed=7)
    nearest = torch.linalg.matrix_norm(ambient - manifold.nearest_point(ambient))
    others = manifold.random_point(500, 5, 3, generator=generator(8), dtype=torch.float64)
    assert (torch.linalg.matrix_norm(ambient - others) >= nearest).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_nearest_point_does_not_depend_on_the_scale(scale: float) -> None:
    ambient = gaussian(6, 4, seed=9)
    moved = manifold.nearest_point(scale * ambient) - manifold.nearest_point(ambient)
    assert moved.abs().max() <= 30 * 6 * EPS * float(torch.linalg.cond(ambient))


@pytest.mark.parametrize("ambient", [torch.zeros(4, 2), torch.ones(4, 3)], ids=["zero", "rank one"])
def test_a_matrix_of_deficient_rank_gets_one_of_its_nearest_points(ambient: Tensor) -> None:
    assert manifold.residual_in_eps(manifold.nearest_point(ambient)) <= 1


def test_the_residual_is_zero_on_the_manifold_exactly_and_nan_for_nan() -> None:
    assert manifold.residual(torch.eye(4, 2)) == 0
    assert manifold.residual(torch.full((4, 2), math.nan)).isnan()
    assert manifold.residual(2 * torch.eye(4, 2)) == 3
    # n·eps of 4 rows in float32.
    assert manifold.residual_in_eps(2 * torch.eye(4, 2)) == 3 / (4 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("size", [(3, 3), (5, 2), (6, 1)], ids=str)
def test_random_points_have_the_moments_of_the_uniform_distribution(size: tuple[int, int]) -> None:
    n, p = size
    count = 20_000
    points = manifold.random_point(count, n, p, generator=generator(10), dtype=torch.float64)
    assert manifold.residual_in_eps(points) <= 30
    # A column is uniform on the sphere: E x = 0, E x² = 1/n, E x⁴ = 3/(n(n + 2)); all three in standard errors.
    for power, mean in ((1, 0.0), (2, 1 / n), (4, 3 / (n * (n + 2)))):
        sample = points**power
        error = sample.std(0) / math.sqrt(count)
        assert ((sample.mean(0) - mean).abs() <= SIGMAS * error).all()
    # E tr(X)² = 1 for the orthogonal group, and p/n in general.
    trace = points[:, :p].diagonal(dim1=-2, dim2=-1).sum(-1) ** 2
    assert abs(float(trace.mean()) - p / n) <= SIGMAS * float(trace.std()) / math.sqrt(count)


def test_random_square_points_fall_into_both_components_alike() -> None:
    count = 20_000
    signs = torch.linalg.det(manifold.random_point(count, 3, 3, generator=generator(11), dtype=torch.float64))
    assert abs(float(signs.mean())) <= SIGMAS / math.sqrt(count)


def test_a_generator_draws_the_same_point_again_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    one, same = (manifold.random_point(5, 2, generator=generator(12)) for _ in range(2))
    assert torch.equal(one, same)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("matrix", "error", "sentence"),
    [
        (torch.zeros(2, 3), ShapeError, "n >= p >= 1, got (2, 3); transpose a wide matrix"),
        (torch.zeros(3), ShapeError, "got (3,)"),
        (torch.zeros(3, 0), ShapeError, "got (3, 0)"),
        (
            torch.zeros(3, 2, dtype=torch.int64),
            DTypeError,
            "must be float32 or float64 or complex64 or complex128, got torch.int64",
        ),
        (torch.zeros(3, 2, dtype=torch.bfloat16), DTypeError, "got torch.bfloat16"),
        (torch.full((3, 2), math.nan), NonFiniteError, "got 6 NaN or infinite entries of 6"),
        (torch.tensor([[math.inf], [1.0]]), NonFiniteError, "got 1 NaN or infinite entries of 2"),
    ],
    ids=["wide", "vector", "empty", "integers", "bfloat16", "NaN", "infinity"],
)
def test_what_is_no_tall_finite_matrix_is_refused_in_a_sentence(
    matrix: Tensor, error: type[StiefelError], sentence: str
) -> None:
    with pytest.raises(error) as raised:
        manifold.nearest_point(matrix)
    assert sentence in str(raised.value)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_wide_shape_or_an_integer_dtype_has_no_random_point() -> None:
    with pytest.raises(ShapeError):
        manifold.random_point(2, 3)
    with pytest.raises(DTypeError):
        manifold.random_point(3, 2, dtype=torch.bfloat16)


@pytest.mark.parametrize("determinant", [1, -1])
def test_the_nearest_point_of_a_component_is_no_farther_than_any_other_of_it(determinant: Literal[1, -1]) -> None:
    generator = torch.Generator().manual_seed(5)
    ambient = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    nearest = manifold.nearest_point(ambient, determinant=determinant)
    assert (torch.linalg.det(nearest) * determinant > 0).all()
    distance = torch.linalg.matrix_norm(nearest - ambient)
    others = manifold.random_point(200, 3, 4, 4, generator=generator, dtype=torch.float64)
    others[torch.linalg.det(others) * determinant < 0] @= torch.diag(torch.tensor([-1.0, 1, 1, 1])).double()
    assert (torch.linalg.matrix_norm(others - ambient) >= distance).all()


@pytest.mark.parametrize("norm", [0.0, 1e-6, 1.4e-3, 0.01, 0.1, 0.5, 0.8])
def test_the_series_of_the_coefficients_is_scaling_and_squaring_twice_differentiated_too(norm: float) -> None:
    generator = torch.Generator().manual_seed(0)
    free = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    free = norm * free / torch.linalg.matrix_norm(free, ord=2, keepdim=True)
    upstream = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64)

    def with_derivatives(coefficients) -> list[Tensor]:
        leaf = free.clone().requires_grad_()
        rotation, normal = skew(leaf[..., :3, :]), leaf[..., 3:, :]
        # The two ways are one where the norm is too large for the series.
        assert manifold._terms(rotation @ rotation, normal.mT @ normal) is not None
        points = torch.stack(coefficients(rotation, normal.mT @ normal))
        (first,) = torch.autograd.grad(points, leaf, upstream, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
        return [points.detach(), first.detach(), second]

    length, rounding = float(upstream.norm()), 30 * 6 * torch.finfo(torch.float64).eps
    # Of the second derivative the series leaves out 2e-13 at most: see `_terms`.
    bounds = (rounding, rounding * length, (rounding + 2e-13) * length**2)
    found, exact = map(with_derivatives, (manifold.geodesic_coefficients, manifold._squared_coefficients))
    for one, other, bound in zip(found, exact, bounds, strict=True):
        assert (one - other).abs().max() <= bound
