"""The parameter is the point itself, and a Riemannian optimiser keeps it on the manifold."""

import math

import geoopt
from jaxtyping import Float
from torch import Tensor, nn

from stiefel.base import Claims, Parameterisation


class Riemannian(Parameterisation):
    """X = F, a `geoopt.ManifoldParameter` on geoopt's EuclideanStiefel.

    EuclideanStiefel, not geoopt's default: the canonical `geoopt.Stiefel()` 0.5.1 projects by u − x·uᵀx, which
    isn't idempotent. Train it with `stiefel.optim.build`, which gives such parameters our Riemannian SGD or Adam;
    geoopt's optimisers work too, and a Euclidean one would leave the manifold. Casting the module rounds the
    point itself: call `stiefel.rebase` after `.double()`.
    """

    claims = Claims(
        summary="the parameter is the point; a Riemannian optimiser retracts it",
        source="Absil, Mahony & Sepulchre 2008; Bécigneul & Ganea 2019",
        residual=30,
        domain=math.inf,
        retraction_order=None,
        metric="euclidean",
        optimiser="riemannian",
        cost="0 forward; the optimiser's step does the work",
    )

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return free

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return point.clone()

    def parameter(self, free: nn.Parameter) -> nn.Parameter:
        if isinstance(free, geoopt.ManifoldParameter):
            return free
        # geoopt's __new__ takes these, but type checkers see the signature of torch's metaclass.
        return geoopt.ManifoldParameter(
            free.data,
            manifold=geoopt.EuclideanStiefel(),  # pyright: ignore[reportCallIssue]
            requires_grad=free.requires_grad,
        )
