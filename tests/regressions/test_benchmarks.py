"""The matrix of published PCA benchmarks (those of RSDM and POGO) is Q·D·Q: not the spectrum that they state."""

import pytest
import torch
from torch import Tensor

import stiefel

SIZES = [5, 12, 50]
EPS = torch.finfo(torch.float64).eps


def ingredients(n: int) -> tuple[Tensor, Tensor]:
    """Return an orthogonal Q and a spectrum D, ascending, of condition number 100."""
    generator = torch.Generator().manual_seed(n)
    basis = stiefel.random_point(n, n, generator=generator, dtype=torch.float64)
    return basis, torch.logspace(-2, 0, n, dtype=torch.float64)


def spectrum(matrix: Tensor) -> Tensor:
    """Return the eigenvalues that tr(XᵀAX) sees: those of the symmetric part, as the skew part adds nothing."""
    return torch.linalg.eigvalsh((matrix + matrix.T) / 2)


@pytest.mark.parametrize("n", SIZES)
def test_the_published_q_d_q_misses_the_stated_spectrum(n: int) -> None:
    basis, values = ingredients(n)
    published = spectrum(basis * values @ basis)
    # About half of its eigenvalues are negative (2 of 5, 5 of 12, 26 of 50): no condition number to state.
    assert (published - values).abs().max() > 0.5 * values.max()
    assert published.min() < 0


@pytest.mark.parametrize("n", SIZES)
def test_our_q_d_q_transposed_has_the_stated_spectrum_to_rounding(n: int) -> None:
    basis, values = ingredients(n)
    ours = spectrum(basis * values @ basis.T)
    assert (ours - values).abs().max() <= 30 * n * EPS * values.max()
    # The least eigenvalue is a hundredth of the largest, so its relative error is a hundred times that.
    assert float(ours.max() / ours.min()) == pytest.approx(100, rel=2 * 30 * n * EPS * 100)
