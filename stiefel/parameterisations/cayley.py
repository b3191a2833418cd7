"""The Cayley transform from the base, with one p × p solve."""

import math

import torch
from torch import Tensor

from stiefel.base import Claims
from stiefel.compact import CompactTrivialisation
from stiefel.linalg import identity_like


class Cayley(CompactTrivialisation):
    """X = −X0 + (2X0 + K)·Z with Z = (I − A/2 + S/4)⁻¹, the compact form of (I − W/2)⁻¹(I + W/2)·X0.

    The symmetric part of the inverted matrix is I + S/4, so it is never singular. The map can't reach a point
    with an eigenvalue −1 relative to its base; `stiefel.rebase` moves the base.
    """

    claims = Claims(
        summary="Cayley transform: one p × p solve, the cheapest second-order map",
        source="Wen & Yin 2013; the compact form by Woodbury's identity",
        residual=30,
        domain=math.pi,
        retraction_order=2,
        metric="canonical",
        optimiser="any",
        cost="8np² + 2p³",
    )

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = identity_like(gram)
        inverse = torch.linalg.inv(eye.sub(rotation, alpha=0.5).add(gram, alpha=0.25))
        return 2 * inverse - eye, inverse
