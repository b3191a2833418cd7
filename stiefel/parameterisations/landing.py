"""The parameter is the point itself, and products alone bring it back to the manifold: for many small matrices."""

import math

from stiefel.base import Claims
from stiefel.optim.retraction import LandingStiefel
from stiefel.points import PointParameterisation


class Landing(PointParameterisation):
    """X = F on our LandingStiefel, retracted by a Newton-Schulz step of X − s·U, U tangent.

    An SGD step is four products of n × p and p × p, without a solve or a factorisation; a step too long for one
    Newton-Schulz step takes more of them in p × p, and no step gives NaN: see `stiefel.optim.retraction.landing`.
    """

    manifold = LandingStiefel
    claims = Claims(
        summary="the parameter is the point; a Newton-Schulz step retracts it, products alone",
        source="Ablin & Peyré 2022; Björck & Bowie 1971",
        residual=30,
        domain=math.inf,
        retraction_order=None,
        metric="euclidean",
        optimiser="riemannian",
        cost="0 forward; the optimiser's step does the work: 8np²",
    )
