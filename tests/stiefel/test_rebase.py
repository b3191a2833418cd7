"""`AutoRebase`: the weight stays within the claims of its map however long training drives the free tensor."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.manifold import tangent_projection
from stiefel.optim import AutoRebase
from stiefel.optim.joint import Joint

MAPS = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser == "any"]
TRIVIALISED = [name for name in MAPS if issubclass(stiefel.get(name), stiefel.Trivialisation)]


def layer(name: str, *, rows: int = 9, columns: int = 4, dtype: torch.dtype = torch.float32) -> nn.Linear:
    generator = torch.Generator().manual_seed(0)
    made = nn.Linear(columns, rows, bias=False, dtype=dtype)
    nn.init.normal_(made.weight, generator=generator)
    return stiefel.attach(made, by=name)


def free(module: nn.Module) -> nn.Parameter:
    return next(module.parameters())


def descend(module: nn.Linear, optimiser: torch.optim.Optimizer, gradient: Tensor) -> None:
    optimiser.zero_grad()
    (module.weight * gradient).sum().backward()
    optimiser.step()


def push(module: nn.Linear, size: float) -> None:
    """Give the free tensor a tangent direction of spectral norm `size`: what training a map can reach."""
    generator = torch.Generator().manual_seed(7)
    direction = torch.randn(free(module).shape, generator=generator, dtype=stiefel.adapter(module).map.base.dtype)
    with torch.no_grad():
        if isinstance(stiefel.adapter(module).map, stiefel.Trivialisation):
            direction = tangent_projection(stiefel.adapter(module).map.base, direction)
        free(module).copy_(size * direction / torch.linalg.matrix_norm(direction, ord=2))


@pytest.mark.parametrize("steps", [2000, pytest.param(100_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", MAPS)
def test_thousands_of_large_steps_stay_within_the_claims(name: str, steps: int, unchecked_shapes: None) -> None:
    module = layer(name)
    claims = stiefel.get(name).claims
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.0)
    auto = AutoRebase(module, optimiser)
    generator = torch.Generator().manual_seed(1)
    rebased, widest, defect = 0, 0.0, 0.0
    for step in range(steps):
        if step % 100 == 0:
            target = torch.randn(9, 4, generator=generator)
        descend(module, optimiser, target)
        widest = max(widest, float(torch.linalg.matrix_norm(free(module).detach(), ord=2)))
        rebased += auto.after_step()
        if step % 20 == 0:
            defect = max(defect, stiefel.residual_in_eps(module.weight))
    assert rebased > 5
    assert widest < claims.domain
    assert defect <= claims.residual


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5)])
@pytest.mark.parametrize("name", MAPS)
def test_a_rebase_leaves_the_weight_and_takes_the_free_tensor_to_zero(
    name: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    module = layer(name, rows=shape[0], columns=shape[1], dtype=dtype)
    push(module, 2.0)
    before = module.weight.detach().clone()
    assert AutoRebase(module, torch.optim.SGD(module.parameters(), lr=0.1)).after_step() == 1
    assert not free(module).any()
    assert torch.dist(module.weight, before) <= stiefel.get(name).claims.residual * 9 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", MAPS)
def test_inside_the_threshold_nothing_is_touched(name: str) -> None:
    module = layer(name)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    descend(module, optimiser, torch.ones(9, 4))
    before = copy.deepcopy((module.state_dict(), optimiser.state_dict()["state"]))
    assert AutoRebase(module, optimiser).after_step() == 0
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[0][key])
    for key, value in optimiser.state_dict()["state"][0].items():
        assert torch.equal(value, before[1][0][key])


@pytest.mark.parametrize("wrap", [lambda optimiser: optimiser, lambda optimiser: Joint([optimiser])])
@pytest.mark.parametrize("name", TRIVIALISED)
def test_the_first_moment_is_projected_and_the_second_kept(name: str, wrap) -> None:
    module = layer(name)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    descend(module, optimiser, torch.linspace(-1, 2, 36).reshape(9, 4))
    before = copy.deepcopy(optimiser.state[free(module)])
    push(module, 2.0)
    AutoRebase(module, wrap(optimiser)).after_step()
    state, base = optimiser.state[free(module)], stiefel.adapter(module).map.base
    assert torch.equal(state["exp_avg"], tangent_projection(base, before["exp_avg"]))
    assert torch.equal(state["exp_avg_sq"], before["exp_avg_sq"])
    assert torch.equal(state["step"], before["step"])
    tangent_defect = base.T @ state["exp_avg"] + state["exp_avg"].T @ base
    assert tangent_defect.norm() <= 9 * torch.finfo(torch.float32).eps
    # It was not tangent at the new base before: the projection is no empty word here.
    assert (base.T @ before["exp_avg"] + before["exp_avg"].T @ base).norm() > 1e-3


@pytest.mark.parametrize("name", TRIVIALISED)
def test_a_carried_momentum_still_descends(name: str) -> None:
    module = layer(name)
    optimiser = torch.optim.SGD(module.parameters(), lr=2e-3, momentum=0.9)
    gradient = torch.linspace(-1, 2, 36).reshape(9, 4)
    auto = AutoRebase(module, optimiser, threshold=0.02)
    losses, rebased = [], 0
    for _ in range(15):
        descend(module, optimiser, gradient)
        rebased += auto.after_step()
        losses.append((module.weight * gradient).sum().item())
    assert rebased >= 2
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))


@pytest.mark.parametrize("name", ["givens", "householder"])
def test_a_map_whose_coordinates_a_new_base_replaces_starts_with_a_fresh_state(name: str) -> None:
    module = layer(name)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    descend(module, optimiser, torch.ones(9, 4))
    push(module, 2.0)
    AutoRebase(module, optimiser).after_step()
    assert free(module) not in optimiser.state
    descend(module, optimiser, torch.ones(9, 4))
    assert optimiser.state[free(module)]["step"] == 1


def test_a_state_of_unknown_meaning_is_reset_too() -> None:
    module = layer("cayley")
    optimiser = torch.optim.Adagrad(module.parameters(), lr=1e-2)
    descend(module, optimiser, torch.ones(9, 4))
    optimiser.state[free(module)]["average"] = free(module).detach().clone()
    push(module, 2.0)
    AutoRebase(module, optimiser).after_step()
    assert free(module) not in optimiser.state


def test_a_large_spread_norm_is_not_taken_for_a_large_spectral_norm() -> None:
    # 300 × 100 of equal singular values 1.4: Frobenius 14, spectral 1.4, and half the domain is 1.57.
    module = layer("cayley", rows=300, columns=100)
    with torch.no_grad():
        free(module).copy_(1.4 * stiefel.random_point(300, 100, generator=torch.Generator().manual_seed(2)))
    assert torch.linalg.matrix_norm(free(module)) > 1.57
    assert AutoRebase(module, torch.optim.SGD(module.parameters(), lr=0.1)).after_step() == 0


def test_a_point_of_its_own_is_never_rebased() -> None:
    module = layer("riemannian")
    assert AutoRebase(module, stiefel.optim.build(module, "sgd", lr=0.1), threshold=1e-9).after_step() == 0


def test_a_weight_stored_in_bfloat16_is_rebased_in_float32() -> None:
    module = layer("cayley", dtype=torch.bfloat16)
    push(module, 2.0)
    before = module.weight.detach().float()
    AutoRebase(module, torch.optim.SGD(module.parameters(), lr=0.1)).after_step()
    assert stiefel.residual_in_eps(stiefel.adapter(module).map.base) <= 30
    # The old and the new weight are the same float32 point rounded to bfloat16.
    assert torch.dist(module.weight.float(), before) <= torch.finfo(torch.bfloat16).eps
