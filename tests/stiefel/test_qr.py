"""QR far from its base: the second pass, and where even that ends."""

import math

import pytest
import torch

import stiefel
from stiefel.errors import OutOfReachError

# 1/(8√eps) of each dtype, the last norm for which the first Gram matrix is sure to be positive definite.
REACH = {torch.float32: 362.0, torch.float64: 8.3e6}


def far(dtype: torch.dtype, norm: float, *, rank: int) -> tuple[stiefel.Parameterisation, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    module = stiefel.get("qr")(60, 20, dtype=dtype)
    module.right_inverse(stiefel.random_point(60, 20, generator=generator, dtype=dtype))
    left, right = (torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in (60, 20))
    step = left @ right.mT
    return module, (norm * step / torch.linalg.matrix_norm(step, ord=2)).to(dtype)


@pytest.mark.parametrize("rank", [1, 20])
@pytest.mark.parametrize("fraction", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", REACH)
def test_the_point_is_orthonormal_as_far_as_the_gram_matrix_is_definite(dtype, fraction: float, rank: int) -> None:
    module, free = far(dtype, REACH[dtype] * fraction, rank=rank)
    assert stiefel.residual_in_eps(module(free)) <= module.claims.residual


def test_one_pass_would_not_do() -> None:
    module, free = far(torch.float32, 300.0, rank=1)
    moved = module.base + free - module.base @ stiefel.linalg.sym(module.base.mT @ free)
    once = moved @ torch.linalg.inv(torch.linalg.cholesky(moved.mT @ moved, upper=True))
    assert stiefel.residual_in_eps(once) > 10 * module.claims.residual


@pytest.mark.parametrize("dtype", REACH)
def test_a_free_tensor_out_of_reach_is_refused_in_a_sentence(dtype: torch.dtype) -> None:
    module, free = far(dtype, REACH[dtype] * 1e3, rank=1)
    with pytest.raises(OutOfReachError, match=r"'qr' must have a spectral norm below about \d+ .*; call"):
        module(free)


def test_two_passes_have_the_derivative_of_one_factor() -> None:
    module, free = far(torch.float64, 30.0, rank=20)
    upstream = torch.randn(60, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaf = free.clone().requires_grad_()
    (found,) = torch.autograd.grad(module(leaf), leaf, upstream)
    t = 1e-5
    direction = torch.randn(60, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slope = (upstream * (module(free + t * direction) - module(free - t * direction))).sum() / (2 * t)
    # Truncation t²·‖direction‖³/6 and rounding eps/t, each below 1e-7 here.
    assert math.isclose(float(slope), float((found * direction).sum()), rel_tol=1e-6, abs_tol=1e-6)
