"""Complex points, X*X = I: the maps that claim them, against the real maps of twice the size."""

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.errors import DTypeError
from stiefel.linalg import widen

UNITARY = [name for name, claims in stiefel.describe().items() if claims.field == "complex"]
REAL = [name for name in stiefel.names() if name not in UNITARY]
# A + iB ↦ [[A, −B], [B, A]] turns unitary matrices into orthogonal ones and commutes with every map that is made of
# products, inverses and roots; a triangular factor of the one isn't the triangular factor of the other.
EMBEDDED = [name for name in UNITARY if name != "qr"]
SHAPES = [(6, 2), (2, 5, 3), (4, 4), (3, 1), (1, 1), (80, 70)]
DTYPES = [torch.complex64, torch.complex128]


def gaussian(*shape: int, seed: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128).to(dtype)


def placed(name: str, shape: tuple[int, ...], dtype: torch.dtype, norm: float = 1.0):
    module = stiefel.get(name)(*shape, dtype=dtype)
    start = module.right_inverse(gaussian(*shape, seed=0, dtype=dtype))
    step = gaussian(*shape, seed=1)
    return module, start + (norm * step / torch.linalg.matrix_norm(step, ord=2, keepdim=True)).to(dtype)


def embedded(matrix: Tensor) -> Tensor:
    return torch.cat([torch.cat([matrix.real, -matrix.imag], -1), torch.cat([matrix.imag, matrix.real], -1)], -2)


@pytest.mark.parametrize("norm", [0.0, 1e-30, 0.3, 1.5, 3.1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", UNITARY)
def test_a_complex_point_is_orthonormal(name: str, shape: tuple[int, ...], dtype: torch.dtype, norm: float) -> None:
    module, free = placed(name, shape, dtype, norm)
    point = module(free)
    assert point.dtype == dtype
    assert stiefel.residual_in_eps(point) <= module.claims.residual
    if norm == 0:
        expected = stiefel.nearest_point(gaussian(*shape, seed=0, dtype=dtype))
        assert (point - expected).abs().max() <= 30 * shape[-2] * torch.finfo(dtype).eps


@pytest.mark.parametrize("norm", [0.3, 3.1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_complex_map_is_the_real_map_of_twice_the_size(name: str, shape: tuple[int, ...], norm: float) -> None:
    module, free = placed(name, shape, torch.complex128, norm)
    twin = stiefel.get(name)(*shape[:-2], 2 * shape[-2], 2 * shape[-1], dtype=torch.float64)
    twin.base.copy_(embedded(module.base))
    error = embedded(module(free)) - twin(embedded(free))
    bound = module.claims.residual * 2 * shape[-2] * torch.finfo(torch.float64).eps * max(1.0, norm)
    assert torch.linalg.matrix_norm(error, ord=2).amax() <= bound


def test_a_complex_qr_factor_is_lapacks_with_a_positive_diagonal() -> None:
    module, free = placed("qr", (7, 3), torch.complex128)
    inner = module.base.mH @ free
    q, r = torch.linalg.qr(module.base + free - module.base @ (inner + inner.mH) / 2)
    expected = q * r.diagonal().sgn()
    assert (module(free) - expected).abs().max() <= 30 * 7 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("shape", [(5, 2), (3, 3), (2, 4, 2)], ids=str)
@pytest.mark.parametrize("norm", [0.3, 1.5])
@pytest.mark.parametrize("name", UNITARY)
def test_complex_gradients_are_right_twice(name: str, norm: float, shape: tuple[int, ...]) -> None:
    module, free = placed(name, shape, torch.complex128, norm)
    assert torch.autograd.gradcheck(module, free.requires_grad_())
    assert torch.autograd.gradgradcheck(module, free)


@pytest.mark.parametrize("name", UNITARY)
def test_inner_products_of_complex_features_are_kept(name: str) -> None:
    layer = stiefel.attach(nn.Linear(4, 9, bias=False, dtype=torch.complex64), by=name)
    x, y = gaussian(2, 20, 4, seed=2, dtype=torch.complex64)
    before, after = ((a.conj() * b).sum(-1) for a, b in ((x, y), (layer(x), layer(y))))
    lengths = x.norm(dim=-1) * y.norm(dim=-1)
    assert ((before - after).abs() <= 30 * 9 * torch.finfo(torch.float32).eps * lengths).all()


@pytest.mark.parametrize("rows", [3, 8, 12])
@pytest.mark.parametrize("name", UNITARY)
def test_a_complex_weight_trains_rebases_and_resumes(name: str, rows: int) -> None:
    layer = stiefel.attach(nn.Linear(8, rows, dtype=torch.complex64), by=name)
    optimiser = stiefel.optim.build(layer, "adam", lr=5e-2)
    x, target = gaussian(16, 8, seed=3, dtype=torch.complex64), gaussian(16, rows, seed=4, dtype=torch.complex64)
    losses = []
    for step in range(30):
        optimiser.zero_grad()
        loss = (layer(x) - target).abs().square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if step == 15:
            before = layer.weight.detach().clone()
            stiefel.rebase(layer)
            # Either side is residual·n·eps from the exact point.
            assert (layer.weight - before).abs().max() <= 2 * 30 * 12 * torch.finfo(torch.float32).eps
    assert losses[-1] < losses[0]
    weight = layer.weight.detach()
    tall = weight.mH if rows < 8 else weight
    assert stiefel.residual_in_eps(tall) <= 30
    again = stiefel.attach(nn.Linear(8, rows, dtype=torch.complex64), by=name)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.weight, weight)
    (found,) = stiefel.diagnose(layer)
    assert found.determinant is None
    assert found.defect <= 30


@pytest.mark.parametrize("name", REAL)
def test_a_real_map_refuses_complex_weights(name: str) -> None:
    with pytest.raises(DTypeError, match=r"must be float32 or float64, got torch\.complex64"):
        stiefel.attach(nn.Linear(3, 5, dtype=torch.complex64), by=name)


def test_a_complex_weight_has_no_determinant_to_choose() -> None:
    with pytest.raises(DTypeError, match="real to have a determinant"):
        stiefel.attach(nn.Linear(4, 4, dtype=torch.complex64), by="cayley", determinant=1)


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_real_only_says_so() -> None:
    point = stiefel.random_point(5, 2, dtype=torch.complex128)
    for call in (lambda: stiefel.geodesics.log(point, point), lambda: stiefel.optim.RiemannianSGD([point], lr=0.1)):
        with pytest.raises(DTypeError, match="float32 or float64"):
            call()


def test_widening_keeps_the_field() -> None:
    assert widen(gaussian(2, seed=0, dtype=torch.complex64)).dtype == torch.complex128
    assert widen(torch.ones(2)).dtype == torch.float64
