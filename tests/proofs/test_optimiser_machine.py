"""Whatever an optimiser is put through, in any order, its weight stays orthonormal and its state finite: sampled.

A machine of hypothesis draws sequences of steps, rebases, decays, casts, freezes, saves and loads.
"""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from torch import Tensor, nn

import stiefel
from stiefel.attach import OnStiefel
from stiefel.manifold import residual_in_eps
from stiefel.optim import AutoRebase, RiemannianAdam, RiemannianSGD

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

Optimiser = torch.optim.Optimizer
Maker = Callable[[list[nn.Parameter], str], Optimiser]

LRS = (1e-3, 1e-2, 0.1)
# Adam squares a gradient: 1e15 is the largest power of 1000 whose square is finite in float32.
SIZES = (0.0, 1e-30, 1e-6, 1.0, 1e6, 1e15)
SHAPES = ((6, 3), (4, 4), (5, 1), (2, 6, 2))


def torchs(parameters: list[nn.Parameter], kind: str) -> Optimiser:
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0)


def ours(parameters: list[nn.Parameter], kind: str, *, sgd=RiemannianSGD, adam=RiemannianAdam) -> Optimiser:
    # The manifold of the parameter names its retraction, as `stiefel.optim.build` reads it.
    (point,) = parameters
    retraction = "landing" if "landing" in point.manifold.name else "qr"
    if kind == "sgd":
        return sgd([point], lr=0.01, momentum=0.9, retraction=retraction)
    return adam([point], lr=0.01, retraction=retraction)


class Training(RuleBasedStateMachine):
    """One attached weight and its optimiser. A mutant replaces the map, the optimiser or the rebase."""

    def __init__(self, by: str, make: Maker, auto: type[AutoRebase] = AutoRebase):
        super().__init__()
        self.by, self.make, self.auto = by, make, auto
        self.claims = stiefel.get(by).claims
        self.is_point = self.claims.optimiser == "riemannian"

    @initialize(shape=st.sampled_from(SHAPES), kind=st.sampled_from(["sgd", "adam"]), seed=st.integers(0, 2**31 - 1))
    def begin(self, shape: tuple[int, ...], kind: str, seed: int) -> None:
        self.kind, self.generator = kind, torch.Generator().manual_seed(seed)
        self.start = stiefel.random_point(*shape, generator=self.generator)
        self.module, self.optimiser = self.fresh()

    def fresh(self) -> tuple[nn.Module, Optimiser]:
        """Return another weight and optimiser, as a new process would make them."""
        module = nn.Module()
        module.weight = nn.Parameter(self.start.clone())
        stiefel.attach(module, by=self.by)
        return module, self.make(list(module.parameters()), self.kind)

    @property
    def free(self) -> nn.Parameter:
        return next(self.module.parameters())

    def point(self) -> Tensor:
        """Return the tall point in the working precision, before it is rounded to the storage type."""
        adapter = stiefel.adapter(self.module)
        return adapter.map(self.free.detach().to(adapter.map.base.dtype))

    def gradient(self, size: float) -> Tensor:
        direction = torch.randn(self.start.shape, generator=self.generator)
        return (size * direction / direction.norm()).to(self.free.dtype)

    def descend(self, module: nn.Module, optimiser: Optimiser, gradient: Tensor) -> None:
        optimiser.zero_grad()
        loss = (module.weight * gradient).sum()
        assert loss.isfinite()
        if loss.requires_grad:
            loss.backward()
        if not self.is_point and self.kind == "sgd":
            # With momentum a step is ten gradients long: at lr = 0.1 this keeps it below 1, inside the domain.
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()

    @rule(size=st.sampled_from(SIZES))
    def step(self, size: float) -> None:
        before = self.module.weight.detach().clone()
        self.descend(self.module, self.optimiser, self.gradient(size))
        if not self.free.requires_grad:
            assert torch.equal(self.module.weight, before), "a frozen weight moved"
        self.auto(self.module, self.optimiser).after_step()

    @rule()
    def rebase(self) -> None:
        before = self.point()
        stiefel.rebase(self.module)
        # It reads the weight as it is stored: bfloat16 moves an entry by eps/2 of itself, and the way to the nearest
        # point is as long again.
        is_rounded = self.free.dtype == torch.bfloat16
        stored = before.shape[-1] ** 0.5 * torch.finfo(torch.bfloat16).eps if is_rounded else 0.0
        self.assert_same(before, slack=stored)

    @rule()
    def rebase_automatically(self) -> None:
        before = self.point()
        moved = self.auto(self.module, self.optimiser, threshold=1e-3).after_step()
        self.assert_same(before)
        base, state = stiefel.adapter(self.module).map.base, self.optimiser.state.get(self.free, {})
        if moved and issubclass(stiefel.get(self.by), stiefel.Trivialisation):
            for moment in (state[key].to(base.dtype) for key in ("exp_avg", "momentum_buffer") if key in state):
                defect = base.mT @ moment + moment.mT @ base
                # Rounding of the projection, and that of storing it; SGD's buffers are as small as its gradients.
                assert defect.norm() <= 30 * self.unit(self.free.dtype) * moment.norm() + 1e-37, "not carried along"

    @rule()
    def save_and_load(self) -> None:
        file = io.BytesIO()
        torch.save((self.module.state_dict(), self.optimiser.state_dict(), self.free.requires_grad), file)
        file.seek(0)
        module, optimiser = self.fresh()
        module.to(self.free.dtype)
        weights, state, is_trained = torch.load(file)
        module.load_state_dict(weights)
        optimiser.load_state_dict(state)
        next(module.parameters()).requires_grad_(is_trained)
        gradient = self.gradient(1.0)
        for each in ((self.module, self.optimiser), (module, optimiser)):
            self.descend(*each, gradient)
        assert torch.equal(module.weight, self.module.weight), "a resumed run is another one"
        self.module, self.optimiser = module, optimiser
        self.auto(module, optimiser).after_step()

    @rule(decay=st.sampled_from([0.0, 0.1]))
    def decay(self, decay: float) -> None:
        if "weight_decay" in self.optimiser.param_groups[0]:
            self.optimiser.param_groups[0]["weight_decay"] = decay

    @rule(lr=st.sampled_from(LRS))
    def change_rate(self, lr: float) -> None:
        self.optimiser.param_groups[0]["lr"] = lr

    @rule(dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    def cast(self, dtype: torch.dtype) -> None:
        if self.is_point and dtype == torch.bfloat16:
            return  # a point has no room for it: `RiemannianSGD` refuses one below float32
        self.module.to(dtype)
        self.optimiser.zero_grad()
        # What torch documents for resuming casts the state to the parameter's dtype, too.
        self.optimiser.load_state_dict(self.optimiser.state_dict())
        if self.is_point:
            stiefel.rebase(self.module)

    @rule(is_trained=st.booleans())
    def freeze(self, is_trained: bool) -> None:
        self.free.requires_grad_(is_trained)

    @rule()
    def copy(self) -> None:
        weight = self.module.weight.detach().clone()
        self.module = copy.deepcopy(self.module)
        assert torch.equal(self.module.weight, weight)
        state = self.optimiser.state_dict()
        self.optimiser = self.make(list(self.module.parameters()), self.kind)
        self.optimiser.load_state_dict(state)

    @invariant()
    def the_weight_is_orthonormal(self) -> None:
        assert residual_in_eps(self.point()) <= self.claims.residual
        if self.free.dtype == torch.bfloat16:
            weight = self.module.weight.detach().double()
            error = torch.linalg.matrix_norm(weight.mT @ weight - torch.eye(weight.shape[-1]).double())
            # Rounding alone: see the law "precision kept".
            assert error.amax() <= 2 * weight.shape[-2] ** 0.5 * torch.finfo(torch.bfloat16).eps

    @invariant()
    def the_state_is_finite(self) -> None:
        for state in self.optimiser.state.values():
            for key, value in state.items():
                assert torch.as_tensor(value).isfinite().all(), key

    def unit(self, dtype: torch.dtype) -> float:
        return self.start.shape[-2] * torch.finfo(dtype).eps

    def assert_same(self, before: Tensor, *, slack: float = 0.0) -> None:
        """Assert that a rebase left the point where it was: free = 0 is exact in every storage type."""
        moved = torch.linalg.matrix_norm(self.point() - before, ord=2).amax()
        assert moved <= self.claims.residual * self.unit(before.dtype) + slack, "a rebase moved the weight"


def search(by: str, make: Maker, auto: type[AutoRebase] = AutoRebase, *, examples: int, shrink: bool = True) -> None:
    """Let hypothesis run the machine, and raise what a rule or an invariant raises."""
    profile = settings.default
    assert profile is not None
    run_state_machine_as_test(
        lambda: Training(by, make, auto),
        settings=settings(
            profile,
            max_examples=examples,
            stateful_step_count=20,
            database=None,
            phases=[phase for phase in Phase if shrink or phase is not Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def maker(by: str) -> Maker:
    return ours if stiefel.get(by).claims.optimiser == "riemannian" else torchs


@pytest.mark.parametrize("by", stiefel.names())
def test_no_sequence_of_events_takes_a_weight_off_the_manifold(by: str) -> None:
    profile = settings.default
    assert profile is not None
    # A sequence is twenty cases of a law.
    search(by, maker(by), examples=max(5, profile.max_examples // 5))


class Straight(RiemannianSGD):
    """Forgets to retract at every third step."""

    steps = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        self.steps += 1
        if self.steps % 3:
            return super().step(closure)
        for group in self.param_groups:
            for point in (each for each in group["params"] if each.grad is not None):
                point.sub_(point.grad, alpha=group["lr"])
        return None


class ForgetsItsState(RiemannianSGD):
    """Saves its settings and not its momentum."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"state": {}}


class CountsInPython(RiemannianAdam):
    """Counts steps in a number that isn't saved: the bias correction starts anew."""

    def state_dict(self) -> dict[str, Any]:
        saved = copy.deepcopy(super().state_dict())
        for state in saved["state"].values():
            state["steps"].zero_()
        return saved


class LeavesMoments(AutoRebase):
    """Moves the base and leaves the first moment where it was."""

    def _rebase(self, adapter: OnStiefel, free: Tensor) -> None:
        base = adapter.map.base
        free.copy_(adapter.map.right_inverse(adapter.map(free.to(base.dtype))))


MUTANTS: dict[str, tuple[str, Maker, type[AutoRebase]]] = {
    "retracts two steps of three": ("riemannian", partial(ours, sgd=Straight), AutoRebase),
    "momentum not saved": ("riemannian", partial(ours, sgd=ForgetsItsState), AutoRebase),
    "count not saved": ("landing", partial(ours, adam=CountsInPython), AutoRebase),
    "moments not carried": ("cayley", torchs, LeavesMoments),
    "base not saved": ("proofs.mutants:UnsavedBase", torchs, AutoRebase),
    "base not moved": ("proofs.mutants:UnmovedBase", torchs, AutoRebase),
    "point as free tensor": ("proofs.mutants:PointAsFree", torchs, AutoRebase),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine_refutes_wrong_optimisers_maps_and_rebases(mutant: str) -> None:
    with pytest.raises((AssertionError, stiefel.StiefelError)):
        search(*MUTANTS[mutant], examples=100, shrink=False)
