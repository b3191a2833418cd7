"""Choose the optimiser by name; points on a manifold get its Riemannian twin from geoopt."""

import math
from typing import Any

import geoopt
import torch
from torch import nn

from stiefel.attach import free_tensors
from stiefel.errors import DTypeError, UnknownNameError
from stiefel.manifold import FLOATS
from stiefel.optim.joint import Joint


class _RiemannianAdam(geoopt.optim.RiemannianAdam):
    """geoopt's, resumable bit for bit.

    It counts steps in a Python number, which torch's Adam turns into a float32 tensor on loading: the bias
    correction is then rounded otherwise than in a run that was never interrupted.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"] = int(state["step"])


_EUCLIDEAN = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
_RIEMANNIAN = {
    "adam": _RiemannianAdam,
    "adamw": _RiemannianAdam,
    "sgd": geoopt.optim.RiemannianSGD,
}


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(_EUCLIDEAN)


def build(model: nn.Module, name: str = "adamw", *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """Return one optimiser for every trainable parameter of `model`, orthonormal weights included.

    Weight decay is for matrices: vectors and scalars (biases, gains) don't get it, and neither do the free
    tensors of parameterisations, which it would pull towards an arbitrary base; a point on the manifold has
    constant norm. Betas, momentum and eps are torch's defaults, and are found in `param_groups`.

    A Riemannian Adam divides a point's step by the norm of its whole gradient where Adam divides entry by entry:
    at the same `lr` its step is √(np) times shorter, and a projector would hardly move (ten points of accuracy on
    the digits recipe). So a point's group gets lr·√(np), which makes the lengths equal.

    Raises: UnknownNameError; DTypeError for a Riemannian point below float32, which its retraction can't take.
    """
    if name not in _EUCLIDEAN:
        raise UnknownNameError("optimiser", name, _EUCLIDEAN)
    free = {id(tensor) for tensor in free_tensors(model)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    points = [parameter for parameter in trained if isinstance(parameter, geoopt.ManifoldParameter)]
    others = [parameter for parameter in trained if not isinstance(parameter, geoopt.ManifoldParameter)]
    decayed = [parameter for parameter in others if parameter.ndim > 1 and id(parameter) not in free]
    plain = [parameter for parameter in others if parameter.ndim < 2 or id(parameter) in free]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimisers = [_EUCLIDEAN[name]([group for group in groups if group["params"]], lr=lr)] if others else []
    for point in points:
        if point.dtype not in FLOATS:
            raise DTypeError("point of a riemannian parameterisation", "float32 or float64", point.dtype)
    if points:
        groups = [{"params": [point], "lr": lr * _step_scale(name, point)} for point in points]
        optimisers.append(_RIEMANNIAN[name](groups, lr=lr))
    return optimisers[0] if len(optimisers) == 1 else Joint(optimisers)


def _step_scale(name: str, point: torch.Tensor) -> float:
    return 1.0 if name == "sgd" else math.sqrt(point.shape[-2] * point.shape[-1])
