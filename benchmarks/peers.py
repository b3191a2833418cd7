"""What users have today, brought to one interface: a callable that runs one forward and backward pass.

Every entry takes a base point (n × p, orthonormal) and an upstream gradient. A peer that isn't installed is left
out of the table, and the table says so.
"""

from collections.abc import Callable
from importlib.util import find_spec

import geoopt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import stiefel
from benchmarks.measure import Step

Maker = Callable[[Tensor, Tensor], Step]


def ours(name: str) -> Maker:
    """Return the maker for a map of ours, at an arbitrary base and a free tensor away from 0.

    A map that needs a Riemannian optimiser has no work of its own: a step of what `stiefel.optim.build` gives it.
    """

    def make(point: Tensor, upstream: Tensor) -> Step:
        parameterisation = stiefel.get(name)(*point.shape, dtype=point.dtype, device=point.device)
        if parameterisation.claims.optimiser == "riemannian":
            parameter = parameterisation.parameter(nn.Parameter(point.clone()))
            stepper = stiefel.optim.build(nn.ParameterList([parameter]), "sgd", lr=1e-3)
            return _stepping(parameter, stepper, upstream)
        start = parameterisation.right_inverse(point)
        # Spectral norm about 0.5: as far from the base as some hundred steps of training go.
        noise = torch.randn_like(start)
        free = (start + noise * 0.5 / (point.shape[-2] ** 0.5 + point.shape[-1] ** 0.5)).requires_grad_()
        return _forward_backward(lambda: parameterisation(free), [free], upstream)

    return make


def _forward_backward(forward: Callable[[], Tensor], trained: list[Tensor], upstream: Tensor) -> Step:
    return lambda: torch.autograd.grad(forward(), trained, upstream)


def _torch_orthogonal(orthogonal_map: str | None) -> Maker:
    def make(point: Tensor, upstream: Tensor) -> Step:
        layer = _Layer(point)
        parametrizations.orthogonal(layer, "weight", orthogonal_map=orthogonal_map)
        return _forward_backward(lambda: layer.weight, list(layer.parameters()), upstream)

    return make


def _geotorch(triv: str) -> Maker:
    def make(point: Tensor, upstream: Tensor) -> Step:
        import geotorch

        layer = _Layer(point)
        geotorch.orthogonal(layer, "weight", triv=triv)
        return _forward_backward(lambda: layer.weight, list(layer.parameters()), upstream)

    return make


def _step(optimiser: Callable[..., torch.optim.Optimizer]) -> Maker:
    def make(point: Tensor, upstream: Tensor) -> Step:
        parameter = geoopt.ManifoldParameter(
            point.clone(),
            manifold=geoopt.EuclideanStiefel(),  # pyright: ignore[reportCallIssue]
        )
        return _stepping(parameter, optimiser([parameter], lr=1e-3), upstream)

    return make


def _stepping(parameter: nn.Parameter, optimiser: torch.optim.Optimizer, upstream: Tensor) -> Step:
    def step() -> None:
        parameter.grad = upstream
        optimiser.step()

    return step


class _Layer(nn.Module):
    """A module with one weight of any batch shape."""

    weight: Tensor

    def __init__(self, point: Tensor):
        super().__init__()
        self.weight = nn.Parameter(point.clone())


_TORCH: dict[str, Maker] = {
    "torch orthogonal (default map)": _torch_orthogonal(None),
    "torch orthogonal matrix_exp": _torch_orthogonal("matrix_exp"),
    "torch orthogonal cayley": _torch_orthogonal("cayley"),
}
_GEOTORCH: dict[str, Maker] = {
    "geotorch expm": _geotorch("expm"),
    "geotorch cayley": _geotorch("cayley"),
}
_GEOOPT: dict[str, Maker] = {
    "geoopt RiemannianSGD step": _step(geoopt.optim.RiemannianSGD),
    "geoopt RiemannianAdam step": _step(geoopt.optim.RiemannianAdam),
}


def peers() -> dict[str, Maker]:
    """Return the makers of every peer that is installed."""
    return _TORCH | (_GEOTORCH if find_spec("geotorch") else {}) | _GEOOPT
