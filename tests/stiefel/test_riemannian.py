"""`RiemannianSGD` and `RiemannianAdam`: tangent steps, no drift, the optimum of a problem with a known one."""

import copy
import math
from functools import partial

import geoopt
import pytest
import torch
from torch import Tensor, nn

import stiefel
from stiefel.errors import (
    DTypeError,
    NonFiniteError,
    OffManifoldError,
    SettingError,
    ShapeError,
    StiefelError,
    UnknownNameError,
)
from stiefel.manifold import tangent_projection
from stiefel.optim import RiemannianAdam, RiemannianSGD
from stiefel.optim.retraction import RETRACTIONS, Retraction

RULES = {
    "sgd": RiemannianSGD,
    "momentum": partial(RiemannianSGD, momentum=0.9),
    "nesterov": partial(RiemannianSGD, momentum=0.9, nesterov=True),
    "adam": RiemannianAdam,
}
KINDS = {f"{rule} {name}": partial(RULES[rule], retraction=name) for rule in RULES for name in RETRACTIONS}


def kinds(*rules: str) -> list[str]:
    """Return the kinds of these direction rules, with each retraction."""
    return [kind for kind in KINDS if kind.split()[0] in rules]


def point(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(stiefel.random_point(*shape, generator=generator, dtype=dtype))


def noise(seed: int, like: Tensor) -> Tensor:
    return torch.randn(like.shape, dtype=like.dtype, generator=torch.Generator().manual_seed(seed))


def qr_factor(matrix: Tensor) -> Tensor:
    """Return LAPACK's Q factor, with the signs that make the diagonal of R positive."""
    q, r = torch.linalg.qr(matrix)
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def polar_factor(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


ORACLES = {"qr": qr_factor, "landing": polar_factor}


def drift(kind: str, steps: int, shape: tuple[int, int] = (12, 4)) -> float:
    """Return the worst residual in n·eps seen on a walk of random gradients in float32."""
    walker = point(*shape)
    optimiser = KINDS[kind]([walker], lr=0.05)
    generator = torch.Generator().manual_seed(1)
    worst = 0.0
    for step in range(steps):
        walker.grad = torch.randn(shape, generator=generator)
        optimiser.step()
        if step % max(1, steps // 100) == 0 or step == steps - 1:
            residual = stiefel.residual_in_eps(walker)
            worst = residual if math.isnan(residual) else max(worst, residual)
    return worst


@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_steps_in_float32_do_not_drift(kind: str) -> None:
    assert drift(kind, 2000) <= 30


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_steps_in_float32_do_not_drift(kind: str, unchecked_shapes: None) -> None:
    assert drift(kind, 100_000) <= 30


@pytest.mark.parametrize("kind", kinds("sgd", "momentum", "adam"))
def test_the_first_step_is_the_retraction_of_a_tangent_step(kind: str) -> None:
    walker = point(3, 9, 4, dtype=torch.float64)
    start = walker.detach().clone()
    walker.grad = noise(1, walker)
    tangent = tangent_projection(start, walker.grad)
    size = torch.linalg.matrix_norm(tangent, keepdim=True) / math.sqrt(9 * 4) + 1e-8 if kind in kinds("adam") else 1.0
    KINDS[kind]([walker], lr=0.1).step()
    expected = ORACLES[kind.split()[1]](start - 0.1 * tangent / size)
    assert torch.dist(walker.detach(), expected) <= 30 * 9 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("kind", kinds("momentum", "nesterov"))
def test_momentum_follows_torch_where_the_manifold_is_flat(kind: str) -> None:
    # Over a short path a sphere of dimension 1 is its tangent line: St(2, 1) against torch's SGD on the angle.
    walker = point(2, 1, dtype=torch.float64)
    start = walker.detach().clone()
    across = torch.stack([-start[1], start[0]])
    optimiser = KINDS[kind]([walker], lr=1e-6)
    angle = nn.Parameter(torch.zeros((), dtype=torch.float64))
    twin = torch.optim.SGD([angle], lr=1e-6, momentum=0.9, nesterov=kind in kinds("nesterov"))
    for _ in range(5):
        walker.grad, angle.grad = across.clone(), torch.ones_like(angle)
        optimiser.step()
        twin.step()
    # Lengths are 2e-5 and the curvature changes them by their square.
    assert abs(float((across * walker.detach()).sum() - angle.detach())) <= (2e-5) ** 2


@pytest.mark.parametrize("kind", kinds("momentum", "nesterov", "adam"))
def test_the_first_moment_is_tangent_at_the_point_that_is_left(kind: str) -> None:
    walker = point(9, 4, dtype=torch.float64)
    optimiser = KINDS[kind]([walker], lr=0.3)
    for step in range(6):
        left = walker.detach().clone()
        walker.grad = noise(10 + step, walker)
        optimiser.step()
        moment = optimiser.state[walker]["exp_avg" if kind in kinds("adam") else "momentum_buffer"]
        assert (left.T @ moment + moment.T @ left).norm() <= 9 * torch.finfo(torch.float64).eps * moment.norm()


def test_adam_moves_an_entry_by_the_learning_rate() -> None:
    walker = point(64, 16)
    start = walker.detach().clone()
    walker.grad = noise(1, walker) * 1e3
    RiemannianAdam([walker], lr=1e-3).step()
    # To 1e-2: the retraction shortens the step by a relative ‖U‖²/2 = (1e-3)²·1024/2.
    assert (walker - start).square().mean().sqrt().item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_stacked_points_move_as_they_would_alone(kind: str) -> None:
    shapes = [(8, 3), (8, 3), (2, 8, 3), (5, 5), (2, 2, 8, 3)]
    together, alone = (
        [point(*shape, seed=seed, dtype=torch.float64) for seed, shape in enumerate(shapes)] for _ in "ab"
    )
    optimisers = [KINDS[kind](together, lr=0.1), *(KINDS[kind]([each], lr=0.1) for each in alone)]
    for step in range(4):
        for seed, pair in enumerate(zip(together, alone, strict=True)):
            for each in pair:
                # The second point has no gradient in the second step: its counters fall behind the others'.
                each.grad = None if (step, seed) == (1, 1) else noise(10 * step + seed, each)
        for optimiser in optimisers:
            optimiser.step()
    for one, other in zip(together, alone, strict=True):
        assert torch.dist(one, other) <= 30 * 8 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loaded_state_continues_to_the_last_bit(kind: str, dtype: torch.dtype) -> None:
    def walk(walker: nn.Parameter, optimiser: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            walker.grad = noise(10 + step, walker)
            optimiser.step()

    whole = point(10, 4, dtype=dtype)
    whole_optimiser = KINDS[kind]([whole], lr=1e-2)
    walk(whole, whole_optimiser, range(7))
    resumed = nn.Parameter(whole.detach().clone())
    resumed_optimiser = KINDS[kind]([resumed], lr=1.0)
    resumed_optimiser.load_state_dict(copy.deepcopy(whole_optimiser.state_dict()))
    walk(whole, whole_optimiser, range(7, 15))
    walk(resumed, resumed_optimiser, range(7, 15))
    assert torch.equal(whole, resumed)


@pytest.mark.parametrize("kind", kinds("nesterov", "adam"))
def test_the_principal_subspace_is_found_to_a_gap_of_1e_6(kind: str) -> None:
    # Eigenvalues 1, 2, …, 50 in a random basis, exactly QDQᵀ: the maximum of tr XᵀAX is 50 + 49 + … + 46 = 240.
    basis = point(50, 50, seed=3, dtype=torch.float64).detach()
    matrix = basis @ torch.diag(torch.arange(1.0, 51.0, dtype=torch.float64)) @ basis.T
    walker = point(50, 5, seed=4, dtype=torch.float64)
    optimiser = KINDS[kind]([walker], lr=3e-2 if kind in kinds("adam") else 5e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.99 if kind in kinds("adam") else 1.0)
    for _ in range(1500):
        walker.grad = -2 * matrix @ walker.detach()
        optimiser.step()
        scheduler.step()
    gap = 240 - torch.trace(walker.T @ matrix @ walker).item()
    assert 0 <= gap + 1e-10 <= 240e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_poisoned_gradient_is_named_and_nothing_is_written(kind: str, poison: float) -> None:
    walker = point(9, 4)
    optimiser = KINDS[kind]([walker], lr=0.1)
    walker.grad = noise(1, walker)
    optimiser.step()
    before = copy.deepcopy((walker.detach(), optimiser.state_dict()["state"]))
    walker.grad[2, 1] = poison
    with pytest.raises(NonFiniteError, match=r"step of a point must be finite, got \d+ NaN or infinite entries of 36"):
        optimiser.step()
    assert torch.equal(walker, before[0])
    for key, value in before[1].get(0, {}).items():
        assert torch.equal(optimiser.state_dict()["state"][0][key], value)


@pytest.mark.parametrize("retraction", RETRACTIONS)
@pytest.mark.parametrize("length", [1e-30, 0.03, 1.0, 2.0, 300.0, 1e6, 1e18, 1e30])
@pytest.mark.parametrize("n", [4, 40, 400])
def test_a_step_of_any_length_ends_on_the_manifold(length: float, n: int, retraction: Retraction) -> None:
    start = point(1, n, 4).detach()
    # The hardest tangent for a Gram matrix has rank one: condition number 1 + ‖U‖².
    rank_one = tangent_projection(start, noise(1, start)[..., :1] @ noise(2, start)[..., :1, :])
    for tangent in (rank_one, tangent_projection(start, noise(3, start))):
        moved = RETRACTIONS[retraction](start, tangent / torch.linalg.matrix_norm(tangent), factor=length)
        assert stiefel.residual_in_eps(moved) <= 30


def test_a_closure_is_evaluated_once_with_gradients_on() -> None:
    walker = point(6, 2)
    optimiser = RiemannianSGD([walker], lr=0.1)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = walker[0].sum()
        loss.backward()
        return loss

    before = walker[0].sum().item()
    with torch.no_grad():
        assert optimiser.step(closure).item() == before
    assert walker[0].sum().item() < before


@pytest.mark.parametrize("retraction", RETRACTIONS)
def test_autocast_changes_no_bit_of_a_step(retraction: Retraction) -> None:
    inside, outside = point(16, 4), point(16, 4)
    for walker, is_cast in ((inside, True), (outside, False)):
        walker.grad = noise(1, walker)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_cast):
            RiemannianAdam([walker], lr=0.1, retraction=retraction).step()
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("retraction", RETRACTIONS)
def test_a_point_rounded_to_bfloat16_and_back_is_accepted_and_cleaned(retraction: Retraction) -> None:
    rounded = nn.Parameter(point(128, 128).detach().bfloat16().float())
    assert stiefel.residual_in_eps(rounded) > 1000
    optimiser = RiemannianSGD([rounded], lr=0.1, retraction=retraction)
    rounded.grad = torch.zeros_like(rounded)
    optimiser.step()
    assert stiefel.residual_in_eps(rounded) <= 30


def compiled_walk(backend: str, kind: str) -> tuple[Tensor, Tensor]:
    """Return where four compiled steps and the same four eager ones end, on geoopt's class as `build` uses it."""
    torch._dynamo.reset()
    ends = []
    for wrap in (lambda step: torch.compile(step, backend=backend), lambda step: step):
        walker = geoopt.ManifoldParameter(point(12, 4).detach().clone(), manifold=geoopt.EuclideanStiefel())
        optimiser = KINDS[kind]([walker], lr=0.1)
        step = wrap(optimiser.step)
        for seed in range(4):
            walker.grad = noise(10 + seed, walker)
            step()
        ends.append(walker.detach().as_subclass(Tensor))
    return ends[0], ends[1]


@pytest.mark.parametrize("kind", kinds("momentum", "adam"))
def test_a_traced_step_stays_on_the_manifold(kind: str, unchecked_shapes: None) -> None:
    # geoopt's own step, traced, is silently a Euclidean one: residual 6 after four steps.
    traced, eager = compiled_walk("eager", kind)
    assert stiefel.residual_in_eps(traced) <= 30
    assert torch.dist(traced, eager) <= 30 * 12 * torch.finfo(torch.float32).eps


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_step_stays_on_the_manifold(kind: str, unchecked_shapes: None) -> None:
    compiled, eager = compiled_walk("inductor", kind)
    assert stiefel.residual_in_eps(compiled) <= 30
    assert torch.dist(compiled, eager) <= 30 * 12 * torch.finfo(torch.float32).eps


def test_an_unknown_retraction_is_refused_with_the_choices(unchecked_shapes: None) -> None:
    for optimiser in (RiemannianSGD, RiemannianAdam):
        with pytest.raises(UnknownNameError, match="unknown retraction 'polar'; choose one of qr, landing"):
            optimiser([point(4, 2)], lr=1.0, retraction="polar")


@pytest.mark.parametrize(
    ("error", "build"),
    [
        (SettingError, lambda: RiemannianSGD([point(4, 2)], lr=-1.0)),
        (SettingError, lambda: RiemannianSGD([point(4, 2)], lr=1.0, momentum=1.5)),
        (SettingError, lambda: RiemannianSGD([point(4, 2)], lr=1.0, nesterov=True)),
        (SettingError, lambda: RiemannianAdam([point(4, 2)], betas=(0.9, 1.0))),
        (OffManifoldError, lambda: RiemannianSGD([nn.Parameter(torch.ones(4, 2))], lr=1.0)),
        (ShapeError, lambda: RiemannianAdam([nn.Parameter(torch.eye(2, 4))])),
        (DTypeError, lambda: RiemannianAdam([nn.Parameter(torch.eye(4, 2).bfloat16())])),
        (NonFiniteError, lambda: RiemannianAdam([nn.Parameter(torch.full((4, 2), math.nan))])),
    ],
)
def test_what_cannot_be_stepped_is_refused_when_the_optimiser_is_built(error: type[StiefelError], build) -> None:
    with pytest.raises(error):
        build()
