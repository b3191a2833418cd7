"""Derivatives written by hand are autograd's, at every size and in every branch that a map has."""

import pytest
import torch
from torch import Tensor

import stiefel
from stiefel.adjoint import HandDifferentiated

BY_HAND = [name for name in stiefel.names() if issubclass(stiefel.get(name), HandDifferentiated)]
# Square, nearly square, wider than the leaf of the inverses by blocks, and batches.
SHAPES = [(6, 6), (7, 6), (40, 3), (3, 9, 4), (2, 2, 5, 5), (150, 140), (140, 140), (300, 100)]


def placed(name: str, shape: tuple[int, ...], dtype: torch.dtype, norm: float) -> tuple[HandDifferentiated, Tensor]:
    generator = torch.Generator().manual_seed(0)
    module = stiefel.get(name)(*shape, dtype=dtype)
    assert isinstance(module, HandDifferentiated)
    start = module.right_inverse(stiefel.random_point(*shape, generator=generator, dtype=dtype))
    step = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return module, (start + norm * step / torch.linalg.matrix_norm(step, ord=2, keepdim=True)).to(dtype)


@pytest.mark.parametrize("norm", [0.0, 0.05, 0.5, 1.5, 3.1, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", BY_HAND)
def test_a_gradient_by_hand_is_autograds(name: str, shape: tuple[int, ...], dtype: torch.dtype, norm: float) -> None:
    module, start = placed(name, shape, dtype, norm)
    upstream = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    free = start.requires_grad_()
    (by_hand,) = torch.autograd.grad(module(free), free, upstream)
    twin = stiefel.get(name)(*shape, dtype=torch.float64)
    twin.base.copy_(module.base)
    wide = start.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(twin.evaluate(twin.base, wide).point, wide, upstream.double())
    # Rounding grows with the condition of what is inverted, at most 1 + ‖F‖².
    bound = 30 * shape[-2] * torch.finfo(dtype).eps * (1 + norm) ** 2
    assert (
        torch.linalg.matrix_norm(by_hand - expected, ord=2).amax() <= bound * torch.linalg.matrix_norm(upstream).amax()
    )


@pytest.mark.parametrize("name", BY_HAND)
def test_a_gradient_of_a_gradient_passes_through_the_map(name: str) -> None:
    module, start = placed(name, (7, 3), torch.float64, 0.5)
    free = start.requires_grad_()
    assert torch.autograd.gradgradcheck(module, free)
    # Hessian-vector products by reverse over reverse, as a trust-region method takes them, hold a third derivative too.
    (first,) = torch.autograd.grad(module(free)[0].sum(), free, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), free, create_graph=True)
    assert torch.autograd.grad(second.sum(), free)[0].isfinite().all()


@pytest.mark.parametrize("name", BY_HAND)
def test_a_backward_pass_may_be_repeated_and_writes_to_nothing_of_the_users(name: str) -> None:
    module, start = placed(name, (9, 4), torch.float32, 0.5)
    free = start.requires_grad_()
    upstream = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    before = [tensor.detach().clone() for tensor in (free, module.base, upstream)]
    point = module(free)
    kept = point.detach().clone()
    (once,) = torch.autograd.grad(point, free, upstream, retain_graph=True)
    (again,) = torch.autograd.grad(point, free, upstream)
    assert torch.equal(once, again)
    for now, then in zip((free, module.base, upstream, point), (*before, kept), strict=True):
        assert torch.equal(now.detach(), then)


@pytest.mark.parametrize("name", BY_HAND)
def test_no_graph_is_kept_where_no_gradient_is_asked_for(name: str) -> None:
    module, start = placed(name, (9, 4), torch.float32, 0.5)
    assert module(start).grad_fn is None
    with torch.no_grad():
        assert module(start.requires_grad_()).grad_fn is None
