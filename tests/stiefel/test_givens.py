"""What the laws don't reach in `givens`: sizes with many blocks, stages, memory, the sign, the idle entries."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import stiefel
from proofs.oracles import ORACLES

# Many blocks of 32 and a ragged edge in both directions; a square; one column.
SHAPES = [(150, 70), (97, 97), (2, 130, 33), (200, 1)]


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def givens(*shape: int, dtype: torch.dtype = torch.float64) -> stiefel.Parameterisation:
    placed = stiefel.get("givens")(*shape, dtype=dtype)
    point = stiefel.random_point(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    placed.right_inverse(point)
    return placed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_blocks_of_rotations_give_the_product_of_single_ones(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    placed, free = givens(*shape, dtype=dtype), gaussian(*shape, dtype=dtype)
    point = placed(free)
    # Off the base the angles are of size 4, so rounding is that of a few eps each; the law allows 30·‖F‖.
    assert (point.double() - ORACLES["givens"](placed, free.double())).abs().max() <= shape[-2] * torch.finfo(dtype).eps
    assert stiefel.residual_in_eps(point) <= 30


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_undoing_the_stages_gives_the_gradient_of_the_plain_product(shape: tuple[int, ...]) -> None:
    placed, free, upstream = givens(*shape), gaussian(*shape), gaussian(*shape, seed=2)
    # torch.func differentiates the plain operations, autograd our backward pass.
    plain = torch.func.grad(lambda free: (placed(free) * upstream).sum())(free)
    (undone,) = torch.autograd.grad(placed(free.requires_grad_()), free, upstream)
    # Each entry is an inner product of two columns of upstream's norm, off by a rounding for each of n + p stages.
    assert (undone - plain).abs().max() <= shape[-2] * torch.finfo(torch.float64).eps * upstream.norm()


class Products(TorchDispatchMode):
    """Counts batched matrix products: one a stage."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten.bmm, torch.ops.aten.mm)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(256, 64), (512, 128), (512, 512)], ids=str)
def test_the_number_of_stages_grows_as_n_plus_p(shape: tuple[int, int]) -> None:
    placed = stiefel.get("givens")(*shape)
    with Products() as products:
        placed(gaussian(*shape, dtype=torch.float32))
    # Three for each doubling up to 32, then one for each 32 of n + p.
    assert 0 < products.count <= 15 + sum(shape) / 32


@pytest.mark.parametrize("shape", [(256, 64), (512, 128)], ids=str)
def test_backward_keeps_a_fixed_number_of_matrices_whatever_the_number_of_stages(shape: tuple[int, int]) -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    placed, free = givens(*shape, dtype=torch.float32), gaussian(*shape, dtype=torch.float32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        point = placed(free)
    # 4np for each of six levels of blocks; angles, sines, the point; blocks over the edge are the tenth left over.
    # The same stages in plain operations keep 106 and 116 matrices.
    assert sum(kept.values()) <= 1.1 * 28 * point.numel() * 4


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_an_assigned_reflection_stays_one(size: int) -> None:
    placed = stiefel.get("givens")(2, size, size, dtype=torch.float64)
    reflection = stiefel.nearest_point(gaussian(size, size), determinant=-1)
    rotation = stiefel.nearest_point(gaussian(size, size, seed=1), determinant=1)
    both = torch.stack([reflection, rotation])
    free = placed.right_inverse(both)
    unit = size * torch.finfo(torch.float64).eps
    assert (placed(free) - both).abs().max() <= 30 * unit
    signs = placed.base.diagonal(dim1=-2, dim2=-1)
    assert signs[..., :-1].eq(1).all()
    assert signs[:, -1].tolist() == [-1, 1]
    assert torch.linalg.det(placed(gaussian(2, size, size, seed=3))) == pytest.approx([-1, 1], abs=30 * unit)


def test_exactly_the_entries_under_the_diagonal_are_coordinates() -> None:
    n, p = 9, 4
    placed, free = givens(n, p), gaussian(n, p)
    assert torch.equal(placed(free), placed(torch.tril(free, -1)))
    derivative = torch.autograd.functional.jacobian(placed, free).reshape(n * p, n * p)
    assert torch.linalg.matrix_rank(derivative, atol=1e3 * torch.finfo(torch.float64).eps) == n * p - p * (p + 1) // 2
