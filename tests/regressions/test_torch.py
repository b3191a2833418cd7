"""Defects of torch 2.13 and geotorch 0.4 around orthonormal weights, and our side of each.

A test with "still" in its name asserts the peer's defect: one that fails after an upgrade is good news, and says
which detour of ours can go.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.func import jvp
from torch.nn.utils import parametrizations

import stiefel
from stiefel.linalg import matrix_exp

NAMES = stiefel.names()
TRIVIALISED = [name for name in NAMES if stiefel.get(name).claims.optimiser == "any"]
TORCH_MAPS = ["cayley", "householder", "matrix_exp"]
LOW_PRECISION = [torch.bfloat16, torch.float16]
N, P = 9, 4
# Central differences in float64: their truncation, STEP² times the next derivatives, and rounding, n·eps/STEP, both
# stay under DIFFERENCE.
STEP, DIFFERENCE = 1e-5, 1e-7


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(n: int = N, p: int = P) -> nn.Linear:
    layer = nn.Linear(p, n)
    layer.weight.data.copy_(gaussian(n, p))
    return layer


def ours(by: str, n: int = N, p: int = P) -> nn.Linear:
    layer = linear(n, p)
    stiefel.attach(layer, by=by)
    return layer


def trained(layer: nn.Module) -> nn.Parameter:
    return layer.parametrizations.weight.original


def decay_once(layer: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    layer(torch.ones(2, P)).sum().backward()
    optimiser.step()


def test_one_step_of_weight_decay_still_makes_torchs_householder_weight_zero() -> None:
    layer = linear()
    parametrizations.orthogonal(layer, "weight", "householder")
    decay_once(layer, torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=1e-2))
    assert layer.weight.count_nonzero() == 0


@pytest.mark.parametrize("name", TRIVIALISED)
def test_weight_decay_leaves_our_weights_orthonormal_even_if_it_reaches_the_free_tensor(name: str) -> None:
    layer = ours(name)
    decay_once(layer, torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=1e-2))
    assert stiefel.residual_in_eps(layer.weight) <= stiefel.get(name).claims.residual


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_of_our_factory_leaves_our_weights_orthonormal(name: str) -> None:
    layer = ours(name)
    decay_once(layer, stiefel.optim.build(layer, "adamw", lr=1e-3, weight_decay=1e-2))
    assert stiefel.residual_in_eps(layer.weight) <= stiefel.get(name).claims.residual


# Norms at which torch takes its polynomial of degree 8, and how far off it is there.
@pytest.mark.parametrize(
    ("dtype", "norm", "off"), [(torch.float64, 0.0447, 1e-10), (torch.float32, 0.562, 1e-5)], ids=str
)
def test_torchs_exponential_of_one_small_matrix_is_still_wrong_and_of_two_right(
    dtype: torch.dtype, norm: float, off: float
) -> None:
    generator = torch.tensor([[0.0, -norm], [norm, 0.0]], dtype=dtype)
    assert distance_to_rotation(torch.matrix_exp(generator), generator) > off
    pair = torch.matrix_exp(torch.stack([generator, generator]))
    assert distance_to_rotation(pair[0], generator) <= 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("dtype", "norm"), [(torch.float64, 0.0447), (torch.float32, 0.562)], ids=str)
def test_our_exponential_of_one_small_matrix_is_right(dtype: torch.dtype, norm: float) -> None:
    generator = torch.tensor([[0.0, -norm], [norm, 0.0]], dtype=dtype)
    assert distance_to_rotation(matrix_exp(generator), generator) <= 2 * torch.finfo(dtype).eps


def distance_to_rotation(matrix: Tensor, generator: Tensor) -> float:
    # exp [[0, −t], [t, 0]] is the rotation by t: an oracle without a series.
    angle = generator[1, 0].double()
    exact = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    return float((matrix.double() - exact).abs().max())


def test_torchs_exponential_of_a_bfloat16_matrix_is_still_nan() -> None:
    generator = stiefel.linalg.skew(gaussian(6, 6)).bfloat16()
    assert torch.matrix_exp(generator).isnan().any()


@pytest.mark.parametrize("dtype", LOW_PRECISION, ids=str)
@pytest.mark.parametrize(
    "factorise", [torch.linalg.qr, torch.linalg.cholesky, torch.linalg.lu_factor, torch.linalg.inv]
)
def test_torchs_factorisations_still_refuse_low_precision(factorise, dtype: torch.dtype) -> None:
    with pytest.raises(RuntimeError, match=r"not implemented for|Low precision dtypes not supported"):
        factorise(torch.eye(3, dtype=dtype))


@pytest.mark.parametrize("dtype", LOW_PRECISION, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_our_maps_take_low_precision_and_stay_finite(name: str, dtype: torch.dtype) -> None:
    layer = nn.Linear(P, N, dtype=dtype)
    stiefel.attach(layer, by=name)
    # X + δ with |δ| <= eps/2·|X| entrywise: XᵀX moves by about eps·√n.
    assert stiefel.residual(layer.weight) <= 2 * N**0.5 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", TORCH_MAPS)
def test_autocast_still_rounds_torchs_orthogonal_weight_to_bfloat16(name: str) -> None:
    layer = linear()
    parametrizations.orthogonal(layer, "weight", name)
    assert_rounded_by_autocast(layer)


@pytest.mark.parametrize("name", ["cayley", "expm"])
def test_autocast_still_rounds_geotorchs_orthogonal_weight_to_bfloat16(name: str) -> None:
    geotorch = pytest.importorskip("geotorch", reason="the peer geotorch isn't installed")
    layer = linear()
    geotorch.orthogonal(layer, "weight", name)
    assert_rounded_by_autocast(layer)


def assert_rounded_by_autocast(layer: nn.Module) -> None:
    trained(layer).data += 0.3 * gaussian(N, P, seed=1).tril(-1)
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight
    assert weight.dtype == torch.bfloat16
    assert 1e-3 < stiefel.residual(weight) < 1e-1


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_our_weight_in_float32_and_orthonormal(name: str) -> None:
    layer = ours(name)
    if name in TRIVIALISED:
        trained(layer).data += 0.3 * gaussian(N, P, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight
    assert weight.dtype == torch.float32
    assert stiefel.residual_in_eps(weight) <= stiefel.get(name).claims.residual


def test_the_gradient_of_the_polar_factor_through_svd_is_still_nan_on_the_manifold() -> None:
    point = torch.eye(N, P, requires_grad=True)
    left, _, right = torch.linalg.svd(point, full_matrices=False)
    (gradient,) = torch.autograd.grad((left @ right * gaussian(N, P)).sum(), point)
    assert gradient.isnan().all()


@pytest.mark.parametrize("name", TRIVIALISED)
def test_our_gradients_are_finite_where_training_starts(name: str) -> None:
    module = stiefel.get(name)(N, P)
    free = torch.zeros(N, P, requires_grad=True)
    (gradient,) = torch.autograd.grad((module(free) * gaussian(N, P)).sum(), free)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def stored(layer: nn.Module) -> int:
    return sum(tensor.numel() for key, tensor in layer.state_dict().items() if key != "bias")


@pytest.mark.parametrize("name", TORCH_MAPS)
def test_torch_still_keeps_a_square_base_of_a_tall_weight(name: str) -> None:
    layer = linear(512, 8)
    parametrizations.orthogonal(layer, "weight", name)
    assert stored(layer) >= 512 * 512


def test_geotorch_still_keeps_a_square_base_of_a_tall_weight() -> None:
    geotorch = pytest.importorskip("geotorch", reason="the peer geotorch isn't installed")
    layer = linear(512, 8)
    geotorch.orthogonal(layer, "weight", "cayley")
    assert stored(layer) >= 512 * 512


@pytest.mark.parametrize("name", NAMES)
def test_ours_keep_a_base_of_the_weights_own_size(name: str) -> None:
    assert stored(ours(name, 512, 8)) == 2 * 512 * 8


def torch_householder(packed: Tensor) -> Tensor:
    reflectors = packed.tril(-1)
    return torch.linalg.householder_product(reflectors, 2 / (1 + reflectors.square().sum(-2)))


class Cube(torch.autograd.Function):
    """x³ with its own, right, forward derivative."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx, tangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * tangent


def second_derivatives(function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the second derivative along a line by nested forward mode, and by differences of the first."""
    start, direction = (gaussian(N, P, seed=seed, dtype=torch.float64) for seed in (0, 1))
    start = 0.3 * start

    def slope(at: Tensor) -> Tensor:
        return jvp(function, (at,), (direction,))[1]

    nested = jvp(slope, (start,), (direction,))[1]
    return nested, (slope(start + STEP * direction) - slope(start - STEP * direction)) / (2 * STEP)


@pytest.mark.parametrize("function", [torch_householder, Cube.apply], ids=["householder_product", "autograd.Function"])
def test_torchs_nested_forward_derivative_is_still_wrong(function: Callable[[Tensor], Tensor]) -> None:
    nested, difference = second_derivatives(function)
    assert (nested - difference).norm() > 0.1 * difference.norm()


@pytest.mark.parametrize("name", NAMES)
def test_our_nested_forward_derivatives_are_right_or_refused(name: str) -> None:
    try:
        nested, difference = second_derivatives(stiefel.get(name)(N, P, dtype=torch.float64))
    except NotImplementedError:
        return  # torch's own sentence: no forward mode for this function
    assert (nested - difference).norm() <= DIFFERENCE * max(1.0, float(difference.norm()))


@pytest.mark.parametrize("name", TRIVIALISED)
def test_our_nested_reverse_derivatives_are_right(name: str) -> None:
    module = stiefel.get(name)(4, 2, dtype=torch.float64)
    start, direction = (gaussian(4, 2, seed=seed, dtype=torch.float64) for seed in (0, 1))

    def slope(t: Tensor) -> Tensor:
        return jacobian(lambda at: module(0.3 * start + at * direction), t, create_graph=True)

    zero = torch.zeros((), dtype=torch.float64)
    nested, difference = jacobian(slope, zero), (slope(zero + STEP) - slope(zero - STEP)) / (2 * STEP)
    assert (nested - difference).norm() <= DIFFERENCE * difference.norm()


@pytest.fixture
def lowest_precision() -> Iterator[None]:
    """Allow float32 products in bfloat16, as training scripts do for speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_lower_precision_of_products_reaches_no_weight_of_ours(name: str, lowest_precision: None) -> None:
    layer = stiefel.attach(nn.Linear(200, 300, bias=False), by=name)
    step = 1e-3 * torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    layer.parametrizations["weight"].original.data.add_(step)
    inside = layer.weight.detach()
    assert torch.get_float32_matmul_precision() == "medium"
    torch.set_float32_matmul_precision("highest")
    assert torch.equal(inside, layer.weight)


def test_the_precision_is_put_back_after_an_error(lowest_precision: None) -> None:
    layer = stiefel.attach(nn.Linear(3, 5), by="cayley")
    layer.parametrizations["weight"].original.data.fill_(torch.nan)
    with pytest.raises(stiefel.StiefelError):
        layer(torch.ones(3))
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
