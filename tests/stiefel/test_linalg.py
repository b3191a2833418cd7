"""The exponential against mpmath, inverses by blocks, Newton-Schulz."""

import math

import mpmath
import pytest
import torch
from torch import Tensor

from stiefel import linalg

EPS = {dtype: torch.finfo(dtype).eps for dtype in (torch.float32, torch.float64)}
NORMS = [0.0, 1e-30, 1e-8, 1e-3, 0.1, 0.5, 1.0, math.pi, 10.0, 30.0]


def skew_matrix(size: int, *, norm: float, dtype: torch.dtype = torch.float64, batch: tuple[int, ...] = ()) -> Tensor:
    gaussian = torch.randn(*batch, size, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    matrix = gaussian - gaussian.mT
    return (norm * matrix / linalg.norm_1(matrix)[..., None, None]).to(dtype)


def exact_exp(matrix: Tensor) -> Tensor:
    with mpmath.workdps(40):
        result = mpmath.expm(mpmath.matrix(matrix.double().tolist()), method="taylor")
        rows = [[float(result[i, j]) for j in range(result.cols)] for i in range(result.rows)]
    return torch.tensor(rows, dtype=torch.float64)


def exp_bound(matrix: Tensor) -> float:
    # The docstring's 2ˢ·m·eps with 2ˢ <= ‖M‖₁/0.3, and one rounding of the polynomial where nothing is squared.
    return (float(linalg.norm_1(matrix).amax()) / 0.3 + 1) * matrix.shape[-1] * EPS[matrix.dtype]


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_matrix_exp_of_a_single_matrix_agrees_with_mpmath(norm: float, dtype: torch.dtype) -> None:
    # torch 2.13's own is 5e-5 off here in float32 and 2.3e-10 in float64 where the norm is small.
    matrix = skew_matrix(5, norm=norm, dtype=dtype)
    error = linalg.norm_1(linalg.matrix_exp(matrix).double() - exact_exp(matrix))
    assert error <= exp_bound(matrix)


@pytest.mark.parametrize("size", [2, 3])
def test_matrix_exp_keeps_small_entries_of_a_small_matrix(size: int) -> None:
    matrix = skew_matrix(size, norm=1e-30)
    off_diagonal = linalg.matrix_exp(matrix).fill_diagonal_(0)
    torch.testing.assert_close(off_diagonal, matrix, rtol=2 * EPS[torch.float64], atol=0)


def test_matrix_exp_of_a_batch_with_mixed_norms_agrees_with_mpmath() -> None:
    matrices = torch.stack([skew_matrix(4, norm=norm) for norm in (1e-8, 1.0, 20.0)])
    exact = torch.stack([exact_exp(matrix) for matrix in matrices])
    # The batch is squared as often as its largest matrix asks for.
    assert (linalg.norm_1(linalg.matrix_exp(matrices) - exact) <= exp_bound(matrices)).all()


@pytest.mark.parametrize("norm", [0.1, 5.0])
def test_matrix_exp_gives_its_first_columns_alone(norm: float) -> None:
    matrix = skew_matrix(6, norm=norm)
    first, whole = linalg.matrix_exp(matrix, columns=2), linalg.matrix_exp(matrix)[:, :2]
    assert first.shape == (6, 2)
    assert linalg.norm_1(first - whole) <= exp_bound(matrix)


@pytest.mark.parametrize("norm", [0.0, 1e-8, 0.5, 4.0])
def test_matrix_exp_has_right_first_and_second_derivatives(norm: float) -> None:
    matrix = skew_matrix(3, norm=norm).requires_grad_()
    assert torch.autograd.gradcheck(linalg.matrix_exp, matrix)
    assert torch.autograd.gradgradcheck(linalg.matrix_exp, matrix)


@pytest.mark.parametrize("norm", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("dtype", EPS, ids=str)
def test_matrix_exp_under_vmap_squares_blindly_and_is_right_up_to_its_limit(norm: float, dtype: torch.dtype) -> None:
    matrices = skew_matrix(4, norm=norm, dtype=dtype, batch=(3,))
    exact = torch.stack([exact_exp(matrix) for matrix in matrices])
    bound = (2**linalg._BLIND_SQUARINGS + 1) * 4 * EPS[dtype]
    assert (linalg.norm_1(torch.vmap(linalg.matrix_exp)(matrices).double() - exact) <= bound).all()


def test_matrix_exp_passes_nan_on() -> None:
    assert linalg.matrix_exp(torch.full((3, 3), math.nan)).isnan().any()
    assert linalg.matrix_exp(torch.full((2, 3, 3), math.inf)).isfinite().logical_not().any()


@pytest.mark.parametrize("size", [(6, 3), (4, 4), (5, 1)], ids=str)
def test_a_newton_schulz_step_squares_the_residual(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    point = torch.linalg.qr(torch.randn(*size, generator=generator, dtype=torch.float64)).Q
    near = point + 1e-4 * torch.randn(*size, generator=generator, dtype=torch.float64)

    def error(matrix: Tensor) -> Tensor:
        return matrix.mT @ matrix - torch.eye(size[1], dtype=matrix.dtype)

    before, after = error(near), error(linalg.newton_schulz_step(near))
    predicted = -0.75 * before @ before + 0.25 * before @ before @ before
    torch.testing.assert_close(after, predicted, rtol=0, atol=8 * size[0] * EPS[torch.float64])
    assert linalg.norm_1(after) <= linalg.norm_1(before) ** 2


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_add_product_accumulates_in_place(batch: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    shapes = ((5, 4), (5, 3), (3, 4))
    start, left, right = (torch.randn(*batch, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    expected = start + left @ right
    assert linalg.add_product_(start, left, right) is start
    torch.testing.assert_close(start, expected, rtol=8 * EPS[torch.float64], atol=8 * EPS[torch.float64])


def test_a_matrix_is_its_symmetric_and_its_skew_part() -> None:
    matrix = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(linalg.sym(matrix), linalg.sym(matrix).mT)
    assert torch.equal(linalg.skew(matrix), -linalg.skew(matrix).mT)
    torch.testing.assert_close(linalg.sym(matrix) + linalg.skew(matrix), matrix)


def test_norm_1_is_the_largest_column_sum_and_sees_nan() -> None:
    assert linalg.norm_1(torch.tensor([[1.0, -2.0], [3.0, 0.5]])) == 4.0
    assert linalg.norm_1(torch.tensor([[1.0, math.nan], [9.0, 0.0]])).isnan()


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("size", [2, 5, 96, 97, 131, 200])
def test_an_accretive_inverse_is_lapacks(size: int, dtype: torch.dtype) -> None:
    matrix = torch.eye(size) + skew_matrix(size, norm=size**0.5, batch=(2,)) + positive_part(size)
    exact = torch.linalg.inv(matrix)
    found = linalg.accretive_inverse(matrix.to(dtype)).double()
    bound = 4 * size * EPS[dtype] * torch.linalg.matrix_norm(matrix, ord=2).amax() ** 3
    assert torch.linalg.matrix_norm(found - exact, ord=2).amax() <= bound


def positive_part(size: int) -> Tensor:
    gaussian = torch.randn(size, size, generator=torch.Generator().manual_seed(size + 1), dtype=torch.float64)
    return gaussian @ gaussian.mT / size


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("size", [1, 5, 96, 97, 131, 200])
def test_a_triangular_inverse_is_lapacks(size: int, dtype: torch.dtype) -> None:
    upper = torch.linalg.cholesky(torch.eye(size) + positive_part(size), upper=True).expand(2, -1, -1)
    found = linalg.triangular_inverse(upper.to(dtype)).double()
    assert torch.equal(found, found.triu())
    condition = float(torch.linalg.cond(upper[0]))
    assert torch.linalg.matrix_norm(found - torch.linalg.inv(upper), ord=2).amax() <= 4 * size * EPS[dtype] * condition


@pytest.mark.parametrize("size", [3, 100])
def test_the_inverses_by_blocks_have_right_derivatives(size: int) -> None:
    matrix = (torch.eye(size) + positive_part(size)).requires_grad_()
    upstream = torch.randn(size, size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for ours, exact in ((linalg.accretive_inverse, torch.linalg.inv), (upper_inverse, upper_lapack)):
        found, expected = (torch.autograd.grad(inverse(matrix), matrix, upstream)[0] for inverse in (ours, exact))
        assert (found - expected).norm() <= 8 * size * EPS[torch.float64] * float(
            torch.linalg.cond(matrix.detach())
        ) ** 2


def upper_inverse(matrix: Tensor) -> Tensor:
    return linalg.triangular_inverse(matrix.triu())


def upper_lapack(matrix: Tensor) -> Tensor:
    return torch.linalg.inv(matrix.triu())


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize("scale", [1, -1])
def test_a_product_is_added_to_a_scaled_total(batch: tuple[int, ...], scale: int) -> None:
    generator = torch.Generator().manual_seed(2)
    shapes = ((5, 4), (5, 3), (3, 4))
    total, left, right = (torch.randn(*batch, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    found = linalg.add_product(total, left, right, scale=scale)
    torch.testing.assert_close(
        found, scale * total + left @ right, rtol=8 * EPS[torch.float64], atol=8 * EPS[torch.float64]
    )
