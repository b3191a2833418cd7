"""`stiefel.interop.minimise_module`: all attached weights of a module at once, of any layout, by pymanopt's solvers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel import interop
from stiefel.attach import attached
from stiefel.errors import CostError, NotAttachedError

NAMES = stiefel.names()
SOLVERS = interop.solvers()
# Steepest descent takes hundreds of steps here.
QUICK = ["conjugate-gradient", "trust-regions"]
EPS = torch.finfo(torch.float64).eps


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class Mixed(nn.Module):
    """A tall, a wide and a convolutional weight that are attached, and a head that isn't."""

    def __init__(self, by: str, dtype: torch.dtype = torch.float64):
        super().__init__()
        self.kernel = nn.Conv2d(1, 2, 2, dtype=dtype)  # wide: 2 × 4
        self.tall = nn.Linear(2, 5, dtype=dtype)
        self.wide = nn.Linear(5, 3, dtype=dtype)
        self.head = nn.Linear(3, 2, dtype=dtype)
        for seed, parameter in enumerate(self.parameters()):
            parameter.data.copy_(0.3 * gaussian(*parameter.shape, seed=seed))
        for layer in (self.kernel, self.tall, self.wide):
            stiefel.attach(layer, by=by)

    def forward(self, x: Tensor) -> Tensor:
        x = self.kernel(x).tanh().flatten(1)
        return self.head(self.wide(self.tall(x).tanh()))

    def weights(self) -> list[Tensor]:
        return [layer.weight.detach().clone() for layer in (self.kernel, self.tall, self.wide)]


def loss_of(model: Mixed, *, dtype: torch.dtype = torch.float64) -> Callable[[], Tensor]:
    x, y = gaussian(16, 1, 2, 2, seed=20, dtype=dtype), gaussian(16, 2, seed=21, dtype=dtype)
    return lambda: nn.functional.mse_loss(model(x), y)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_left_at_a_minimum_over_its_attached_weights(name: str) -> None:
    model = Mixed(name)
    fixed = [model.head.weight, model.head.bias, model.kernel.bias, model.tall.bias, model.wide.bias]
    kept = [parameter.detach().clone() for parameter in fixed]
    loss = loss_of(model)
    before = float(loss().detach())
    minimum = interop.minimise_module(model, loss, tolerance=1e-5)
    assert minimum.stopped_by == "gradient norm"
    assert minimum.cost < 0.9 * before
    # The model itself has the loss of the minimum, from weights that are still attached.
    assert float(loss().detach()) == pytest.approx(minimum.cost, rel=1e-9)
    for layer, point in zip((model.kernel, model.tall, model.wide), minimum.points, strict=True):
        each = stiefel.adapter(layer)
        bound = stiefel.get(name).claims.residual * point.shape[-2] * EPS
        assert (each.tall_of(layer.weight) - point).abs().max() <= bound
        assert type(each.map) is stiefel.get(name)
    assert all(torch.equal(one, other) for one, other in zip(fixed, kept, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    # The derivative of any map ends in tangent vectors, so a gradient without a tangent part is none for it.
    loss().backward()
    if stiefel.get(name).claims.optimiser == "any":
        free = [holder.original for holder, _ in attached(model)]
        assert max(float(torch.linalg.vector_norm(each.grad)) for each in free) < 1e-4


@pytest.mark.parametrize("solver", QUICK)
def test_every_solver_brings_a_module_to_a_lower_loss(solver: str) -> None:
    losses = []
    for iterations in (1, 5, 25):
        model = Mixed("cayley")
        losses.append(interop.minimise_module(model, loss_of(model), solver=solver, max_iterations=iterations).cost)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["cayley", "riemannian"])
def test_a_float32_module_keeps_its_dtype_and_its_manifold(name: str, solver: str) -> None:
    model = Mixed(name, torch.float32)
    loss = loss_of(model, dtype=torch.float32)
    before = float(loss().detach())
    minimum = interop.minimise_module(model, loss, solver=solver, max_iterations=20)
    assert minimum.cost < before
    assert {weight.dtype for weight in model.weights()} == {torch.float32}
    assert float(loss().detach()) == pytest.approx(minimum.cost, rel=1e-4)
    for layer in (model.kernel, model.tall, model.wide):
        tall = stiefel.adapter(layer).tall_of(layer.weight)
        assert stiefel.residual_in_eps(tall) <= stiefel.get(name).claims.residual


def test_a_wide_weight_and_a_kernel_reach_an_optimum_that_is_known() -> None:
    target = gaussian(4, 1, 3, 3, seed=3)
    for layer in (nn.Conv2d(1, 4, 3), nn.Linear(9, 4)):
        stiefel.attach(layer.double())
        goal = target.reshape(layer.weight.shape)
        interop.minimise_module(layer, lambda layer=layer, goal=goal: (layer.weight - goal).square().sum())
        polar = stiefel.nearest_point(goal.reshape(4, 9).T).T.reshape(layer.weight.shape)
        assert (layer.weight - polar).abs().max() < 1e-6


def test_a_frozen_weight_stays_and_a_chosen_determinant_too() -> None:
    free, frozen = (stiefel.attach(nn.Linear(4, 4, dtype=torch.float64), determinant=-1) for _ in range(2))
    frozen.requires_grad_(False)
    kept = frozen.weight.clone()
    model = nn.Sequential(free, frozen)
    target = torch.eye(4, dtype=torch.float64)
    minimum = interop.minimise_module(model, lambda: (frozen.weight @ free.weight - target).square().sum())
    assert len(minimum.points) == 1
    assert torch.equal(frozen.weight, kept)
    assert float(torch.linalg.det(free.weight.detach())) == pytest.approx(-1)


def test_an_error_leaves_the_module_as_it_was() -> None:
    model = Mixed("cayley")
    before = model.weights()
    dropped = nn.Dropout()
    x = gaussian(16, 1, 2, 2)
    with pytest.raises(CostError, match=r"model\.eval"):
        interop.minimise_module(model, lambda: dropped(model(x)).square().sum())
    assert all(torch.equal(one, other) for one, other in zip(before, model.weights(), strict=True))
    assert {type(each.map) for _, each in attached(model)} == {stiefel.get("cayley")}


def test_a_loss_that_reads_cached_weights_is_refused() -> None:
    model = Mixed("cayley")
    with stiefel.cached():
        model(gaussian(1, 1, 2, 2))
        with pytest.raises(CostError, match="doesn't depend"):
            interop.minimise_module(model, loss_of(model))


def test_a_module_without_attached_weights_is_refused() -> None:
    with pytest.raises(NotAttachedError):
        interop.minimise_module(nn.Linear(3, 3), lambda: torch.zeros(()))
