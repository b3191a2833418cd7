"""`stiefel.optim.build`: one optimiser for a model, orthonormal through training, resumable, schedulable."""

import copy

import geoopt
import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.errors import UnknownNameError
from stiefel.optim.joint import Joint
from stiefel.optim.retraction import LandingStiefel
from stiefel.optim.riemannian import RiemannianAdam, RiemannianSGD

NAMES = stiefel.names()
OPTIMISERS = stiefel.optim.names()


def model(name: str, *, columns: int = 12, rows: int = 48) -> nn.Sequential:
    """Return a small network whose first weight is orthonormal."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(columns, rows), nn.LayerNorm(rows), nn.Linear(rows, 3))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    stiefel.attach(network[0], by=name)
    return network


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(16, 12, generator=generator), torch.randn(16, 3, generator=generator)


def train(network: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        x, y = batch(step)
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_decayed_steps_stay_on_the_manifold_and_pass_gradients_on(name: str) -> None:
    network = model(name)
    # Decay on everything, the free tensor too: harsher than `build`, which spares it. A Riemannian map has no
    # Euclidean optimiser that would keep it, so it gets `build`'s.
    optimiser = (
        torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
        if stiefel.get(name).claims.optimiser == "any"
        else stiefel.optim.build(network, "adamw", lr=1e-3, weight_decay=0.05)
    )
    start = network[0].weight.detach().clone()
    train(network, optimiser, range(100))
    assert stiefel.residual_in_eps(network[0].weight) <= stiefel.get(name).claims.residual
    # Adam moves an entry by about lr a step, so a hundred steps move some entry by much more than one.
    assert (network[0].weight - start).abs().max() > 1e-2
    x = batch(0)[0].requires_grad_()
    network(x).square().sum().backward()
    assert x.grad is not None
    assert torch.linalg.vector_norm(x.grad, dim=-1).min() > 0


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_lowers_the_loss_of_every_map(name: str, optimiser: str) -> None:
    network = model(name)
    losses = train(network, stiefel.optim.build(network, optimiser, lr=1e-2), range(30))
    assert sum(losses[-5:]) < sum(losses[:5])
    assert stiefel.residual_in_eps(network[0].weight) <= stiefel.get(name).claims.residual


@pytest.mark.parametrize("name", NAMES)
def test_decay_is_for_ordinary_matrices_alone(name: str) -> None:
    network = model(name)
    optimiser = stiefel.optim.build(network, "adamw", lr=0.1, weight_decay=0.05)
    decayed = [
        # A group of points has no decay to offer at all.
        parameter
        for group in optimiser.param_groups
        if group.get("weight_decay", 0) > 0
        for parameter in group["params"]
    ]
    assert len(decayed) == 1
    assert decayed[0] is network[2].weight
    everything = [id(parameter) for group in optimiser.param_groups for parameter in group["params"]]
    assert sorted(everything) == sorted(map(id, network.parameters()))


def test_a_riemannian_map_gets_a_riemannian_optimiser_beside_the_ordinary_one() -> None:
    optimiser = stiefel.optim.build(model("riemannian"), "sgd", lr=0.1)
    assert isinstance(optimiser, Joint)
    assert [type(each) for each in optimiser.optimisers] == [torch.optim.SGD, RiemannianSGD]
    assert type(stiefel.optim.build(model("cayley"), "sgd", lr=0.1)) is torch.optim.SGD


def test_frozen_parameters_are_left_out() -> None:
    network = model("cayley")
    network[2].requires_grad_(False)
    optimiser = stiefel.optim.build(network, lr=0.1)
    held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}


def test_a_model_of_points_alone_needs_no_joint_optimiser() -> None:
    layer = stiefel.attach(nn.Linear(3, 5, bias=False), by="riemannian")
    assert type(stiefel.optim.build(layer, "adam", lr=0.1)) is RiemannianAdam


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_manifold_of_a_point_chooses_its_retraction(name: str) -> None:
    network = nn.Sequential(*(stiefel.attach(nn.Linear(3, 5, bias=False), by=by) for by in ("landing", "riemannian")))
    groups = stiefel.optim.build(network, name, lr=0.1).param_groups
    assert {group["params"][0]: group["retraction"] for group in groups} == {
        network[0].parametrizations.weight.original: "landing",
        network[1].parametrizations.weight.original: "qr",
    }


def test_a_point_of_another_manifold_is_moved_to_that_of_its_map() -> None:
    layer = stiefel.attach(nn.Linear(3, 5, bias=False), by="riemannian")
    point = layer.parametrizations.weight.original
    plain = nn.Linear(3, 5, bias=False)
    plain.weight = point
    stiefel.attach(plain, by="landing")
    assert type(plain.parametrizations.weight.original.manifold) is LandingStiefel


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_parameter_on_another_manifold_gets_geoopts_optimiser_and_resumes(optimiser: str) -> None:
    def sphere() -> nn.Module:
        layer = nn.Linear(12, 3, bias=False)
        start = torch.nn.functional.normalize(torch.ones(3, 12), dim=-1)
        layer.weight = geoopt.ManifoldParameter(start, manifold=geoopt.Sphere())
        return layer

    whole, resumed = sphere(), sphere()
    whole_optimiser = stiefel.optim.build(whole, optimiser, lr=1e-2)
    assert type(whole_optimiser).__module__.startswith(("geoopt", "stiefel.optim.geoopt_optimisers"))
    train(whole, whole_optimiser, range(5))
    resumed_optimiser = stiefel.optim.build(resumed, optimiser, lr=1.0)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed_optimiser.load_state_dict(copy.deepcopy(whole_optimiser.state_dict()))
    assert train(whole, whole_optimiser, range(5, 9)) == train(resumed, resumed_optimiser, range(5, 9))
    assert torch.linalg.vector_norm(whole.weight, dim=-1).sub(1).abs().max() < 1e-6


PRODUCT = geoopt.ProductManifold((geoopt.EuclideanStiefel(), (6, 2)), (geoopt.Sphere(), (4,)))
ELSEWHERE: dict[str, tuple[geoopt.Manifold, Tensor]] = {
    "canonical": (geoopt.Stiefel(), torch.eye(6, 2)),
    "exact": (geoopt.EuclideanStiefelExact(), torch.eye(6, 2)),
    "scaled": (geoopt.Scaled(geoopt.EuclideanStiefel(), 2.0), torch.eye(6, 2)),
    "product": (PRODUCT, PRODUCT.pack_point(torch.eye(6, 2), torch.eye(4)[0])),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("where", ELSEWHERE)
def test_geoopts_other_manifolds_keep_geoopts_optimiser_and_their_points(where: str, name: str) -> None:
    manifold, start = ELSEWHERE[where]
    target = torch.randn(start.shape, generator=torch.Generator().manual_seed(0))
    layer = nn.Module()
    layer.point = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    optimiser = stiefel.optim.build(layer, name, lr=1e-2)
    assert not isinstance(optimiser, RiemannianAdam | RiemannianSGD)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = (layer.point - target).square().sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    # geoopt's exact retraction drifts by about an eps a step.
    assert manifold.check_point_on_manifold(layer.point.detach(), atol=1e-5)


def test_a_geoopt_tensor_trains_once_it_is_a_parameter_and_keeps_its_manifold() -> None:
    layer = nn.Module()
    layer.point = geoopt.ManifoldParameter(geoopt.ManifoldTensor(torch.eye(6, 2), manifold=geoopt.EuclideanStiefel()))
    assert type(stiefel.optim.build(layer, "sgd", lr=0.1)) is RiemannianSGD


def test_the_names_are_those_of_the_error() -> None:
    assert OPTIMISERS == ["adam", "adamw", "sgd"]
    with pytest.raises(UnknownNameError, match="unknown optimiser 'lion'; choose one of adam, adamw, sgd"):
        stiefel.optim.build(model("cayley"), "lion", lr=0.1)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", ["cayley", "riemannian"])
def test_a_resumed_run_takes_the_steps_of_an_uninterrupted_one(name: str, optimiser: str) -> None:
    whole = model(name)
    whole_optimiser = stiefel.optim.build(whole, optimiser, lr=1e-2, weight_decay=0.05)
    train(whole, whole_optimiser, range(5))
    state = copy.deepcopy((whole.state_dict(), whole_optimiser.state_dict()))
    resumed = model(name)
    resumed_optimiser = stiefel.optim.build(resumed, optimiser, lr=1.0)
    resumed.load_state_dict(state[0])
    resumed_optimiser.load_state_dict(state[1])
    assert train(whole, whole_optimiser, range(5, 12)) == train(resumed, resumed_optimiser, range(5, 12))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["cayley", "riemannian"])
def test_a_scheduler_reaches_every_group_also_after_a_resume(name: str) -> None:
    network = model(name)
    optimiser = stiefel.optim.build(network, "sgd", lr=0.1)
    optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    scheduler = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=0.5)
    train(network, optimiser, range(1))
    scheduler.step()
    assert [group["lr"] for group in optimiser.param_groups] == [0.05] * len(optimiser.param_groups)
    children = optimiser.optimisers if isinstance(optimiser, Joint) else [optimiser]
    assert all(group["lr"] == 0.05 for child in children for group in child.param_groups)


def test_a_joint_step_evaluates_its_closure_once_with_gradients_on() -> None:
    network = model("riemannian")
    optimiser = stiefel.optim.build(network, "sgd", lr=1e-2)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimiser.zero_grad()
        loss = network(batch(0)[0]).square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimiser.step(closure) > 0
    assert calls == [True]
    assert not any(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))


def test_a_point_that_lost_its_class_to_an_assigning_load_is_still_retracted() -> None:
    network = model("riemannian")
    network.load_state_dict(copy.deepcopy(network.state_dict()), assign=True)
    optimiser = stiefel.optim.build(network, "adam", lr=1e-2)
    train(network, optimiser, range(5))
    assert stiefel.residual_in_eps(network[0].weight) <= 30


def test_a_riemannian_point_below_float32_is_refused_before_the_first_step() -> None:
    network = model("riemannian").bfloat16()
    with pytest.raises(stiefel.StiefelError, match=r"must be float32 or float64, got torch.bfloat16"):
        stiefel.optim.build(network, "adam", lr=1e-2)


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("by", ["cayley", "riemannian", "landing"])
def test_betas_reach_every_group_that_has_them(by: str, name: str) -> None:
    optimiser = stiefel.optim.build(model(by), name, lr=1e-3, betas=(0.0, 0.99))
    assert [group.get("betas") for group in optimiser.param_groups] == [
        None if name == "sgd" else (0.0, 0.99) for _ in optimiser.param_groups
    ]
