"""Choose the optimiser by name; points on a manifold get its Riemannian twin."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import geoopt
import torch
from torch import nn

from stiefel.attach import free_tensors
from stiefel.errors import UnknownNameError
from stiefel.optim.geoopt_optimisers import ResumableRiemannianAdam
from stiefel.optim.joint import Joint
from stiefel.optim.retraction import LandingStiefel, Retraction
from stiefel.optim.riemannian import RiemannianAdam, RiemannianSGD

_Makers = Mapping[str, Callable[..., torch.optim.Optimizer]]
_EUCLIDEAN: _Makers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
_ON_STIEFEL: _Makers = {"adam": RiemannianAdam, "adamw": RiemannianAdam, "sgd": RiemannianSGD}
# By exact class: EuclideanStiefelExact, a subclass too, asks for a retraction that isn't one of ours.
_RETRACTION_ON: Mapping[type[geoopt.Manifold], Retraction] = {
    geoopt.EuclideanStiefel: "qr",
    LandingStiefel: "landing",
}
_ELSEWHERE: _Makers = {
    "adam": ResumableRiemannianAdam,
    "adamw": ResumableRiemannianAdam,
    "sgd": geoopt.optim.RiemannianSGD,
}


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(_EUCLIDEAN)


def build(
    model: nn.Module,
    name: str = "adamw",
    *,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    undecayed: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Return one optimiser for every trainable parameter of `model`, orthonormal weights included.

    Weight decay is for matrices: vectors and scalars (biases, gains) don't get it, and neither do the free
    tensors of parameterisations, which it would pull towards an arbitrary base; a point on the manifold has
    constant norm. `undecayed` adds others, such as position embeddings. betas: of both Adams, sgd has none. Momentum
    and eps are torch's defaults, and are found in `param_groups`.

    A point of St(n, p), that is a geoopt parameter on EuclideanStiefel or on our LandingStiefel, gets our
    `RiemannianSGD` or `RiemannianAdam` with its manifold's retraction; to them `lr` is the same step length as to
    torch's. A geoopt parameter on any other manifold gets geoopt's own optimiser: its Adam divides by the norm of
    the whole gradient, so at the same `lr` a tensor of m entries moves √m times less than under Adam.

    Raises: UnknownNameError; what `RiemannianSGD` raises for a point below float32 or off the manifold.
    """
    if name not in _EUCLIDEAN:
        raise UnknownNameError("optimiser", name, _EUCLIDEAN)
    spared = {id(tensor) for tensor in [*free_tensors(model), *undecayed]}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    on_manifold = [parameter for parameter in trained if isinstance(parameter, geoopt.ManifoldParameter)]
    points: list[dict[str, Any]] = [
        {"params": [each for each in on_manifold if type(each.manifold) is manifold], "retraction": retraction}
        for manifold, retraction in _RETRACTION_ON.items()
    ]
    elsewhere = [each for each in on_manifold if type(each.manifold) not in _RETRACTION_ON]
    others = [parameter for parameter in trained if not isinstance(parameter, geoopt.ManifoldParameter)]
    decayed = [parameter for parameter in others if parameter.ndim > 1 and id(parameter) not in spared]
    plain = [parameter for parameter in others if parameter.ndim < 2 or id(parameter) in spared]
    euclidean = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    settings: dict[str, Any] = {"lr": lr} if name == "sgd" else {"lr": lr, "betas": betas}
    optimisers = [_EUCLIDEAN[name](_filled(euclidean), **settings)] if others else []
    if _filled(points):
        optimisers.append(_ON_STIEFEL[name](_filled(points), **settings))
    if elsewhere:
        optimisers.append(_ELSEWHERE[name](elsewhere, **settings))
    return optimisers[0] if len(optimisers) == 1 else Joint(optimisers)


def _filled(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [group for group in groups if group["params"]]
