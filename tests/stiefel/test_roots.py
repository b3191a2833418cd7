"""The inverse root and its derivatives, by products and in an eigenbasis."""

import pytest
import torch
from torch import Tensor

from stiefel import linalg
from stiefel.roots import commutator, inverse_sqrt, root

EPS = {dtype: torch.finfo(dtype).eps for dtype in (torch.float32, torch.float64)}


def positive_matrix(eigenvalues: list[float], *, dtype: torch.dtype = torch.float64) -> Tensor:
    size = len(eigenvalues)
    gaussian = torch.randn(size, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    turn = torch.linalg.qr(gaussian).Q
    return linalg.sym(turn * torch.tensor(eigenvalues, dtype=torch.float64) @ turn.mT).to(dtype)


SPECTRA = {
    "identity": [1.0, 1.0, 1.0],
    "a pair": [1.0, 2.0, 2.0],
    "distinct": [1.0, 2.0, 5.0],
    "wide": [1.0, 10.0, 11.0],
    "nearly equal": [1.0, 1.0 + 1e-12, 2.0],
}


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
def test_inverse_sqrt_is_a_root_of_the_inverse(spectrum: list[float], dtype: torch.dtype) -> None:
    matrix = positive_matrix(spectrum, dtype=dtype)
    root = inverse_sqrt(matrix).double()
    error = linalg.norm_1(root @ matrix.double() @ root - torch.eye(3).double())
    condition = max(spectrum) / min(spectrum)
    # c·p·eps·κ with c = 8: an eigendecomposition and three products of p terms each, twice over.
    assert error <= 8 * 3 * EPS[dtype] * condition


@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
def test_inverse_sqrt_has_right_derivatives_at_equal_eigenvalues_too(spectrum: list[float]) -> None:
    def root_of_symmetric(free: Tensor) -> Tensor:
        return inverse_sqrt(linalg.sym(free))

    matrix = positive_matrix(spectrum).requires_grad_()
    assert torch.autograd.gradcheck(root_of_symmetric, matrix)
    assert torch.autograd.gradgradcheck(root_of_symmetric, matrix)


def test_inverse_sqrt_at_the_identity_has_the_derivative_minus_one_half() -> None:
    matrix = torch.eye(4, dtype=torch.float64, requires_grad=True)
    upstream = linalg.sym(torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(inverse_sqrt(matrix), matrix, upstream)
    torch.testing.assert_close(gradient, -upstream / 2, rtol=0, atol=8 * 4 * EPS[torch.float64])


def test_inverse_sqrt_of_a_batch_is_that_of_each() -> None:
    matrices = torch.stack([positive_matrix(spectrum) for spectrum in SPECTRA.values()])
    each = torch.stack([inverse_sqrt(matrix) for matrix in matrices])
    torch.testing.assert_close(inverse_sqrt(matrices), each, rtol=0, atol=8 * 3 * EPS[torch.float64])


def matrix_of_span(size: int, span: float, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Return a symmetric matrix whose eigenvalues fill [1, 1 + span], both ends among them."""
    gaussian = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    turn = torch.linalg.qr(gaussian).Q
    return linalg.sym(turn * torch.linspace(1, 1 + span, size, dtype=torch.float64) @ turn.mT).to(dtype)


# From the identity, through the series alone and after each number of Newton-Schulz steps, to the eigenbasis.
SPANS = [0.0, 1e-8, 1e-3, 0.05, 0.2, 0.6, 2.0, 10.0, 1e4]


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("span", SPANS)
def test_root_is_the_root_in_the_eigenbasis(span: float, dtype: torch.dtype) -> None:
    matrix = torch.stack([matrix_of_span(12, part * span, dtype, seed) for seed, part in enumerate((1.0, 0.3))])
    values, vectors = torch.linalg.eigh(matrix.double())
    exact = (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT
    assert (linalg.norm_1(root(matrix).inverse - exact) <= 8 * 12 * EPS[dtype] * (1 + span)).all()


def test_root_takes_both_ways() -> None:
    ways = [bool(root(matrix_of_span(12, span, torch.float32)).vectors.numel()) for span in SPANS]
    assert ways == sorted(ways)
    assert ways[0] is False
    assert ways[-1] is True


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("span", SPANS)
def test_the_commutator_is_that_of_the_equations_solution(span: float, dtype: torch.dtype) -> None:
    matrix = matrix_of_span(9, span, dtype)
    right = linalg.skew(torch.randn(9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).to(dtype)
    values, vectors = torch.linalg.eigh(matrix.double())
    half = (vectors * values.sqrt()) @ vectors.mT
    # The oracle solves the 81 × 81 linear system ΨH + HΨ = B.
    eye = torch.eye(9, dtype=torch.float64)
    solution = torch.linalg.solve(torch.kron(eye, half) + torch.kron(half, eye), right.double().flatten()).reshape(9, 9)
    found = commutator(matrix, root(matrix), right)
    bound = 16 * 9 * EPS[dtype] * (1 + span) ** 0.5 * torch.linalg.matrix_norm(right, ord=2)
    assert torch.linalg.matrix_norm(found - (solution @ half - half @ solution), ord=2) <= bound


def test_root_of_nan_is_nan() -> None:
    assert root(torch.full((3, 3), torch.nan)).inverse.isnan().any()
