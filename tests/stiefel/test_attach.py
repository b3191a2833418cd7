"""`attach` on every kind of weight, with every registered map: what is promised survives what users do to modules."""

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import stiefel
from stiefel.errors import DTypeError, NonFiniteError, NotAttachedError, ShapeError, StiefelError, UnknownNameError

EPS = torch.finfo(torch.float32).eps
NAMES = stiefel.names()
TRIVIALISED = [name for name in NAMES if stiefel.get(name).claims.optimiser == "any"]


class Batch(nn.Module):
    """A module whose weight is a batch of matrices."""

    def __init__(self, *shape: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(0)))


def linear(columns: int = 5, rows: int = 9, *, dtype: torch.dtype = torch.float32) -> nn.Linear:
    layer = nn.Linear(columns, rows, dtype=dtype)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    return layer


def move(module: nn.Module) -> None:
    """Move the trained tensor of `module` to another place of its domain."""
    each = stiefel.adapter(module).map
    free = trained(module)
    step = torch.randn(free.shape, generator=torch.Generator().manual_seed(2))
    target = free.detach().float() + step / torch.linalg.matrix_norm(step, ord=2, keepdim=True)
    if each.claims.optimiser == "riemannian":
        target = stiefel.nearest_point(target)
    free.data.copy_(target)


def trained(module: nn.Module) -> Tensor:
    return module.parametrizations.weight.original


def tall_point(module: nn.Module) -> Tensor:
    """Return a copy of the module's weight as a tall matrix."""
    weight = module.weight.detach().clone()
    matrix = weight.flatten(1) if isinstance(module, nn.modules.conv._ConvNd) else weight
    return matrix.mT if matrix.shape[-2] < matrix.shape[-1] else matrix


def is_orthonormal(name: str, module: nn.Module) -> bool:
    return stiefel.residual_in_eps(tall_point(module)) <= stiefel.get(name).claims.residual


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "module",
    [
        linear(5, 9),
        linear(9, 5),
        linear(4, 4),
        linear(1, 6),
        nn.Conv2d(3, 40, 3),
        nn.Conv2d(8, 5, 3),
        nn.ConvTranspose2d(6, 2, 2),
        nn.Conv2d(8, 12, 3, groups=4),
        nn.Conv1d(4, 6, 3),
        nn.Embedding(20, 6),
        Batch(3, 6, 4),
        Batch(2, 3, 4, 6),
    ],
    ids=str,
)
def test_any_weight_becomes_the_nearest_orthonormal_one_and_stays_so(name: str, module: nn.Module) -> None:
    module = copy.deepcopy(module)
    shape, before = module.weight.shape, tall_point(module)
    stiefel.attach(module, by=name)
    assert module.weight.shape == shape
    attached = tall_point(module)
    unit = before.shape[-2] * torch.finfo(torch.float32).eps
    residual = stiefel.get(name).claims.residual
    assert (attached - stiefel.nearest_point(before)).abs().max() <= residual * unit
    move(module)
    moved = tall_point(module)
    assert not torch.equal(moved, attached)
    assert stiefel.residual_in_eps(moved) <= residual


@pytest.mark.parametrize("name", NAMES)
def test_the_trained_tensor_has_the_shape_of_the_tall_point_whatever_the_map(name: str) -> None:
    wide = stiefel.attach(linear(9, 5), by=name)
    assert trained(wide).shape == (9, 5)
    assert [key for key, _ in wide.named_parameters()] == ["bias", "parametrizations.weight.original"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_trained_tensor_and_the_input(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(3)).requires_grad_()
    layer(x).square().mul(torch.arange(9.0)).sum().backward()
    assert trained(layer).grad.abs().max() > 0
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_low_precision_storage_is_off_by_rounding_alone(name: str, dtype: torch.dtype) -> None:
    layer = stiefel.attach(linear(dtype=dtype), by=name)
    move(layer)
    assert layer.weight.dtype == trained(layer).dtype == dtype
    assert stiefel.adapter(layer).map.base.dtype == torch.float32
    wide = layer.weight.detach().double()
    error = torch.linalg.matrix_norm(wide.mT @ wide - torch.eye(5))
    # ‖δX‖_F <= √p·eps/2 of rounding moves XᵀX by at most 2√n·eps.
    assert error <= 2 * 9**0.5 * torch.finfo(dtype).eps
    layer.weight.float().square().mul(torch.arange(9.0).unsqueeze(-1)).sum().backward()
    assert trained(layer).grad.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_the_weight_alone_and_lowers_the_product(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    outside = layer.weight
    with torch.autocast("cpu", torch.bfloat16):
        inside, product = layer.weight, layer(torch.ones(2, 5))
    assert torch.equal(inside, outside)
    assert inside.dtype == torch.float32
    assert product.dtype == torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_a_deepcopy_is_equal_and_independent(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.weight, layer.weight)
    assert type(trained(twin)) is type(trained(layer))
    before = layer.weight.detach().clone()
    twin.weight = torch.eye(9, 5)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_carries_the_weight_to_another_module(name: str) -> None:
    layer, other = (stiefel.attach(linear(columns), by=name) for columns in (5, 5))
    move(layer)
    other.weight = torch.eye(9, 5)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight, layer.weight)


@pytest.mark.parametrize("name", NAMES)
def test_the_flag_changes_no_shape_of_a_checkpoint(name: str) -> None:
    shapes = [
        {key: value.shape for key, value in stiefel.attach(linear(), by=each).state_dict().items()}
        for each in (name, "cayley")
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_cached_weight_is_computed_once(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    with parametrize.cached():
        assert layer.weight is layer.weight


@pytest.mark.parametrize("shape", [(9, 5), (5, 9)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", NAMES)
def test_an_assigned_weight_is_kept_if_orthonormal_and_replaced_by_the_nearest_if_not(
    name: str, shape: tuple[int, int]
) -> None:
    layer = stiefel.attach(linear(shape[1], shape[0]), by=name)
    unit = stiefel.get(name).claims.residual * 9 * torch.finfo(torch.float32).eps
    point = stiefel.random_point(9, 5, generator=torch.Generator().manual_seed(4))
    target = point if shape == (9, 5) else point.mT.contiguous()
    for factor in (1.0, 3.0):
        layer.weight = factor * target
        assert (layer.weight - target).abs().max() <= unit


@pytest.mark.parametrize("name", NAMES)
def test_detach_leaves_a_plain_parameter_with_the_same_weight(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    weight = layer.weight.detach().clone()
    stiefel.detach(layer)
    assert type(layer.weight) is nn.Parameter
    assert type(layer) is nn.Linear
    assert torch.equal(layer.weight, weight)
    assert sorted(layer.state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_weight_stays_frozen_through_attach_and_detach(name: str) -> None:
    layer = linear()
    layer.weight.requires_grad_(False)
    stiefel.attach(layer, by=name)
    assert not trained(layer).requires_grad
    assert not stiefel.detach(layer).weight.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_rebase_keeps_every_weight_of_a_model_and_returns_to_the_base(name: str) -> None:
    model = nn.Sequential(stiefel.attach(linear(), by=name), nn.ReLU(), stiefel.attach(linear(9, 4), by=name))
    for layer in (model[0], model[2]):
        move(layer)
    before = [model[index].weight.detach().clone() for index in (0, 2)]
    assert stiefel.rebase(model) is model
    for index, weight in zip((0, 2), before, strict=True):
        unit = 9 * torch.finfo(torch.float32).eps
        assert (model[index].weight - weight).abs().max() <= stiefel.get(name).claims.residual * unit
        if name in TRIVIALISED:
            assert trained(model[index]).count_nonzero() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_module_cast_to_float64_is_orthonormal_to_float64(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    before = layer.weight.detach().clone()
    layer.double()
    if name not in TRIVIALISED:
        stiefel.rebase(layer)  # its point is the parameter itself, which a cast only rounds
    assert layer.weight.dtype == torch.float64
    assert is_orthonormal(name, layer)
    assert (layer.weight - before).abs().max() <= stiefel.get(name).claims.residual * 9 * torch.finfo(torch.float32).eps


def test_a_second_parameterisation_is_refused_and_the_weight_stays() -> None:
    layer = stiefel.attach(linear(), by="cayley")
    before = layer.weight.detach().clone()
    with pytest.raises(stiefel.StiefelError, match=r"already has .* call stiefel.detach\(module, \"weight\"\) first"):
        stiefel.attach(layer, by="qr")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", TRIVIALISED)
def test_a_module_cast_from_float64_to_bfloat16_works_in_float32(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    layer.double().bfloat16()
    assert layer.weight.dtype == torch.bfloat16
    assert stiefel.adapter(layer).map.base.dtype == torch.float32


@pytest.mark.parametrize("name", TRIVIALISED)
def test_a_module_cast_to_bfloat16_and_back_is_orthonormal_to_float32(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    move(layer)
    layer.bfloat16()
    assert layer.weight.dtype == torch.bfloat16
    layer.float()
    assert is_orthonormal(name, layer)


@pytest.mark.parametrize("name", NAMES)
def test_a_functional_call_takes_other_parameters(name: str) -> None:
    layer = stiefel.attach(linear(), by=name)
    parameters = {key: value.detach().clone() for key, value in layer.named_parameters()}
    x = torch.ones(2, 5)
    assert torch.equal(torch.func.functional_call(layer, parameters, x), layer(x))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("weight", "error", "sentence"),
    [
        (torch.zeros(5), ShapeError, "a vector or an empty tensor has no orthonormal columns"),
        (torch.zeros(0, 5), ShapeError, "got (0, 5)"),
        (torch.full((3, 2), torch.nan), NonFiniteError, "got 6 NaN or infinite entries of 6"),
    ],
    ids=["vector", "empty", "NaN"],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_weight_without_orthonormal_columns_is_refused_in_a_sentence(
    name: str, weight: Tensor, error: type[StiefelError], sentence: str
) -> None:
    module = Batch(2, 2)
    module.weight = nn.Parameter(weight)
    with pytest.raises(error) as raised:
        stiefel.attach(module, by=name)
    assert sentence in str(raised.value)


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_integer_weight_is_refused() -> None:
    module = nn.Module()
    module.register_buffer("weight", torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(DTypeError, match=r"weight must be a floating-point tensor, got torch\.int64"):
        stiefel.attach(module)


def test_what_was_never_attached_is_named() -> None:
    layer = linear()
    sentence = r'Linear.weight has no Stiefel parameterisation; call stiefel.attach\(module, "weight", by=…\) first'
    for act in (stiefel.detach, stiefel.adapter):
        with pytest.raises(NotAttachedError, match=sentence):
            act(layer)
    with pytest.raises(NotAttachedError, match=r"Linear\.kernel"):
        stiefel.attach(layer, "kernel")
    parametrize.register_parametrization(layer, "weight", nn.Identity())
    with pytest.raises(NotAttachedError):
        stiefel.adapter(layer)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown parameterisation 'caley'; choose one of cayley, "):
        stiefel.attach(linear(), by="caley")


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_assigned_weight_of_another_shape_is_refused() -> None:
    layer = stiefel.attach(linear())
    with pytest.raises(ShapeError, match=r"weight must have shape \(9, 5\), got \(5, 9\)"):
        layer.weight = torch.eye(5, 9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["exponential", "exponential_euclidean", "dense_exponential"])
def test_polishing_mends_an_exponential_far_outside_its_domain(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    point = stiefel.random_point(40, 12, generator=generator, dtype=dtype)
    turn = torch.randn(12, 12, generator=generator, dtype=dtype)
    turn = 100 * (turn - turn.mT) / torch.linalg.matrix_norm(turn - turn.mT, 2)
    defects = []
    for polish in (False, True):
        layer = stiefel.attach(nn.Linear(12, 40, bias=False, dtype=dtype), by=name, polish=polish)
        layer.weight = point
        with torch.no_grad():
            trained(layer).copy_(point @ turn)
        defects.append(stiefel.residual_in_eps(layer.weight))
        (gradient,) = torch.autograd.grad(layer.weight.sum(), trained(layer))
        assert gradient.isfinite().all()
    assert defects[0] > 2
    assert defects[1] <= 1


@pytest.mark.parametrize(
    ("layer", "tensor", "inputs"),
    [
        (nn.LSTM(5, 8), "weight_hh_l0", (3, 2, 5)),
        (nn.GRU(5, 8), "weight_ih_l0", (3, 2, 5)),
        (nn.RNN(5, 8), "weight_hh_l0", (3, 2, 5)),
        (nn.MultiheadAttention(8, 2), "in_proj_weight", (3, 2, 8)),
        (nn.ConvTranspose2d(3, 5, 2), "weight", (1, 3, 4, 4)),
        (nn.Embedding(10, 4), "weight", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_other_layers_read_the_new_weight_at_every_step(layer: nn.Module, tensor: str, inputs) -> None:
    stiefel.attach(layer, tensor)
    optimiser = stiefel.optim.build(layer, "sgd", lr=1e-2)
    data = torch.arange(3) if inputs is None else torch.ones(inputs)
    arguments = (data,) * 3 if isinstance(layer, nn.MultiheadAttention) else (data,)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        output = layer(*arguments)
        loss = (output[0] if isinstance(output, tuple) else output).pow(2).sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert len(set(losses)) == 3
    matrix = stiefel.adapter(layer, tensor)
    tall = getattr(layer, tensor).reshape(matrix.matrix_shape)
    assert stiefel.residual_in_eps(tall.mT if matrix.is_wide else tall) <= 30


@pytest.mark.parametrize("determinant", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_a_square_weight_stays_in_the_component_asked_for(name: str, determinant: Literal[1, -1]) -> None:
    layer = stiefel.attach(nn.Linear(6, 6, bias=False), by=name, determinant=determinant)
    optimiser = stiefel.optim.build(layer, "sgd", lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        (layer.weight * torch.arange(36.0).reshape(6, 6).cos()).sum().backward()
        optimiser.step()
    assert abs(torch.linalg.det(layer.weight.double()).item() - determinant) <= 30 * 6 * 6 * EPS
    layer.weight = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, -determinant]))
    assert abs(torch.linalg.det(layer.weight.double()).item() - determinant) <= 30 * 6 * 6 * EPS


def test_a_determinant_is_for_square_weights_alone() -> None:
    with pytest.raises(stiefel.StiefelError, match="n × n to have a determinant"):
        stiefel.attach(nn.Linear(3, 5), determinant=1)
