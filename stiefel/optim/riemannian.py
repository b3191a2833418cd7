"""SGD and Adam whose parameters are points of St(n, p): project the gradient, step, retract."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stiefel.errors import OffManifoldError, SettingError, UnknownNameError
from stiefel.manifold import check, residual
from stiefel.optim.retraction import RETRACTIONS, Retraction
from stiefel.precision import full_precision


class _OnPoints(torch.optim.Optimizer, ABC):
    """Moves points along tangent directions of the Euclidean metric and retracts them as the group says.

    Points of one shape, dtype and device within a group are stacked and stepped together. There is no weight
    decay, as ‖X‖_F = √p is constant. All state is tensors of the point's dtype, so a resumed run is bit for bit
    the uninterrupted one.
    """

    def __init__(self, points: Iterable[Any], **settings: Any):
        if settings["lr"] < 0:
            raise SettingError("lr", ">= 0", settings["lr"])
        super().__init__(points, settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        check_group(self.param_groups[-1])

    @abstractmethod
    def _blank(self, group: dict[str, Any], point: Float[Tensor, "*b n p"]) -> dict[str, Tensor]:
        """Return the state of a point before its first step: tensors of shape (*batch, n, p) or (*batch, 1, 1)."""

    @abstractmethod
    def _propose(
        self, group: dict[str, Any], state: dict[str, Tensor], point: Float[Tensor, "k n p"], grad: Tensor
    ) -> tuple[Float[Tensor, "k n p"], Tensor | float, dict[str, Tensor]]:
        """Return a tangent U, the factor s of the step −s·U, and the next state, given the ambient gradient.

        The factor is a number or has shape (k, 1, 1). The arguments belong to the caller and are left as they are.
        """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step and return the closure's loss, if there is a closure.

        Compiles to one graph. Autocast is switched off inside.

        Raises: NonFiniteError on CPU in eager mode, before a point or its state is written. On a GPU, and
        compiled, a NaN gradient makes NaN points: reading the value would stall every step.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for points in _alike(group["params"]):
                self._step_together(group, points)
        return loss

    def _step_together(self, group: dict[str, Any], points: list[Tensor]) -> None:
        for point in points:
            if not self.state[point]:
                self.state[point].update(self._blank(group, point.detach()))
        states = [self.state[point] for point in points]
        point = _stack([point.detach() for point in points])
        grad = _stack([point.grad.detach() for point in points if point.grad is not None])
        state = {key: _stack([each[key] for each in states]) for key in states[0]}
        with full_precision(point.device):
            tangent, factor, state = self._propose(group, state, point, grad)
            moved = RETRACTIONS[group["retraction"]](point, tangent, factor=-factor)
        _unstack(moved, [point.detach() for point in points])
        for key, value in state.items():
            _unstack(value, [each[key] for each in states])


class RiemannianSGD(_OnPoints):
    """X ← R(X, −lr·M), M ← P_X(momentum·M + G): the buffer is carried along by projection at every step.

    The first buffer is the tangent gradient, so the first step is tangent too. Nesterov takes
    P_X(G + momentum·(momentum·M + G)) as its direction, as torch's SGD does.

    Cost 4np² flops a step and a retraction: "qr" takes 4np² and one Cholesky factorisation of p × p, or twice that,
    "landing" 4np² and none, or 6np². Nesterov takes 4np² more.
    Source: Absil, Mahony & Sepulchre 2008, sections 4.1 and 8.1.3 (transport by projection).
    Raises: SettingError, UnknownNameError, ShapeError, DTypeError, NonFiniteError, OffManifoldError.
    """

    def __init__(
        self,
        points: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        retraction: Retraction = "qr",
    ):
        if not 0 <= momentum < 1:
            raise SettingError("momentum", "in [0, 1)", momentum)
        if nesterov and momentum == 0:
            raise SettingError("momentum", "positive for nesterov", momentum)
        super().__init__(points, lr=lr, momentum=momentum, nesterov=nesterov, retraction=retraction)

    def _blank(self, group: dict[str, Any], point: Float[Tensor, "*b n p"]) -> dict[str, Tensor]:
        return {"momentum_buffer": torch.zeros_like(point)} if group["momentum"] else {}

    def _propose(
        self, group: dict[str, Any], state: dict[str, Tensor], point: Float[Tensor, "k n p"], grad: Tensor
    ) -> tuple[Float[Tensor, "k n p"], Tensor | float, dict[str, Tensor]]:
        if not state:
            return _tangent(point, grad), group["lr"], state
        # The projection is linear, so the buffer and the gradient go through it as one.
        ambient = torch.add(grad, state["momentum_buffer"], alpha=group["momentum"])
        buffer = _tangent(point, ambient)
        if not group["nesterov"]:
            return buffer, group["lr"], {"momentum_buffer": buffer}
        ahead = _tangent(point, torch.add(grad, ambient, alpha=group["momentum"]))
        return ahead, group["lr"], {"momentum_buffer": buffer}


class RiemannianAdam(_OnPoints):
    """Adam with one second moment for each matrix: the running mean of ‖P_X(G)‖²/(np).

    Entry by entry there is no direction that stays tangent. With the mean square of an entry in its place, `lr`
    means what it means to Adam: about the length by which an entry moves in one step.

    Cost 8np² flops a step and a retraction, as for `RiemannianSGD`.
    Source: Bécigneul & Ganea 2019 (transport and retraction); Kingma & Ba 2015 (bias correction).
    Raises: SettingError, UnknownNameError, ShapeError, DTypeError, NonFiniteError, OffManifoldError.
    """

    def __init__(
        self,
        points: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        retraction: Retraction = "qr",
    ):
        if not all(0 <= beta < 1 for beta in betas):
            raise SettingError("betas", "in [0, 1)", betas)
        super().__init__(points, lr=lr, betas=betas, eps=eps, retraction=retraction)

    def _blank(self, group: dict[str, Any], point: Float[Tensor, "*b n p"]) -> dict[str, Tensor]:
        # Counted in a tensor for each matrix: a Python number would be compiled in, and torch's `load_state_dict`
        # casts a tensor to the point's dtype, which leaves a count as it is up to 2²⁴.
        scalar = torch.zeros(*point.shape[:-2], 1, 1, dtype=point.dtype, device=point.device)
        return {"exp_avg": torch.zeros_like(point), "exp_avg_sq": scalar, "steps": scalar.clone()}

    def _propose(
        self, group: dict[str, Any], state: dict[str, Tensor], point: Float[Tensor, "k n p"], grad: Tensor
    ) -> tuple[Float[Tensor, "k n p"], Tensor | float, dict[str, Tensor]]:
        beta1, beta2 = group["betas"]
        steps = state["steps"] + 1
        tangent = _tangent(point, grad)
        square = torch.linalg.vector_norm(tangent, dim=(-2, -1), keepdim=True).square() / point[0].numel()
        first = tangent.lerp_(_tangent(point, state["exp_avg"]), beta1)
        second = square.lerp_(state["exp_avg_sq"], beta2)
        # In float64, as 1 − 0.999 has lost three digits of float32's seven.
        count = steps.double()
        root = (second / (1 - beta2**count)).sqrt() + group["eps"]
        factor = (group["lr"] / ((1 - beta1**count) * root)).to(point.dtype)
        return first, factor, {"exp_avg": first, "exp_avg_sq": second, "steps": steps}


def check_group(group: dict[str, Any]) -> None:
    """Raise one clear sentence unless a group's parameters are points and its retraction is one of ours."""
    if group["retraction"] not in RETRACTIONS:
        raise UnknownNameError("retraction", group["retraction"], RETRACTIONS)
    for point in group["params"]:
        check("point", point)
        defect = float(residual(point).amax())
        # Rounding to bfloat16 leaves 0.064 at 1024 × 1024 and grows as √n; an ordinary weight is past 1.
        if not defect < 0.5:
            raise OffManifoldError(point.shape, defect)


def _tangent(point: Float[Tensor, "k n p"], ambient: Float[Tensor, "k n p"]) -> Float[Tensor, "k n p"]:
    """Return G − X sym(XᵀG), accumulated inside the product: see `stiefel.manifold.tangent_projection`."""
    inner = point.mH @ ambient
    return torch.baddbmm(ambient, point, inner + inner.mH, alpha=-0.5)


def _alike(points: list[Tensor]) -> list[list[Tensor]]:
    """Return the points that have a gradient, those of one matrix shape, dtype and device together."""
    stacks: dict[Any, list[Tensor]] = {}
    for point in points:
        if point.grad is not None:
            stacks.setdefault((point.shape[-2:], point.dtype, point.device), []).append(point)
    return list(stacks.values())


def _stack(tensors: list[Tensor]) -> Float[Tensor, "k n p"]:
    flat = [tensor.reshape(-1, *tensor.shape[-2:]) for tensor in tensors]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def _unstack(stacked: Float[Tensor, "k n p"], targets: list[Tensor]) -> None:
    """Write the matrices of a stack back to where `_stack` took them from."""
    parts = stacked.split([target.shape[:-2].numel() for target in targets])
    for target, part in zip(targets, parts, strict=True):
        target.copy_(part.reshape(target.shape))
