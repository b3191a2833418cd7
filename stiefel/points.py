"""Maps without a map: the parameter is the point itself, and the manifold it lies on chooses the optimiser's step."""

from typing import ClassVar

import geoopt
from jaxtyping import Float
from torch import Tensor, nn

from stiefel.base import Parameterisation


class PointParameterisation(Parameterisation):
    """X = F, a `geoopt.ManifoldParameter` on `manifold`.

    Train it with `stiefel.optim.build`, which gives such parameters our Riemannian SGD or Adam; geoopt's optimisers
    work too, and a Euclidean one would leave the manifold. Casting the module rounds the point itself: call
    `stiefel.rebase` after `.double()`.
    """

    manifold: ClassVar[type[geoopt.EuclideanStiefel]]

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return free

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return point.clone()

    def parameter(self, free: nn.Parameter) -> nn.Parameter:
        if isinstance(free, geoopt.ManifoldParameter) and type(free.manifold) is self.manifold:
            return free
        # geoopt's __new__ takes these, but type checkers see the signature of torch's metaclass.
        return geoopt.ManifoldParameter(
            free.data,
            manifold=self.manifold(),  # pyright: ignore[reportCallIssue]
            requires_grad=free.requires_grad,
        )
