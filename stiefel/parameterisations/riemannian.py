"""The parameter is the point itself, and a Riemannian optimiser keeps it on the manifold."""

import math

import geoopt

from stiefel.base import Claims
from stiefel.points import PointParameterisation


class Riemannian(PointParameterisation):
    """X = F on geoopt's EuclideanStiefel, retracted by Cholesky-QR.

    EuclideanStiefel, not geoopt's default: the canonical `geoopt.Stiefel()` 0.5.1 projects by u − x·uᵀx, which
    isn't idempotent.
    """

    manifold = geoopt.EuclideanStiefel
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
