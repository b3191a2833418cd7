"""The Cayley transform from the base, with one p × p inverse."""

import math

from torch import Tensor

from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.base import Claims, Trivialisation
from stiefel.linalg import accretive_inverse, add_product, identity_like, skew, sym


class Cayley(HandDifferentiated, Trivialisation):
    """X = Y·Z − X0 with Y = 2X0 + K and Z = (¼YᵀY − ½A)⁻¹, the compact form of (I − W/2)⁻¹(I + W/2)·X0.

    As X0ᵀK = 0, ¼YᵀY is I + S/4: the symmetric part of what is inverted is at least I, so it is never singular.
    The map can't reach a point with an eigenvalue −1 relative to its base; `stiefel.rebase` moves the base.
    """

    claims = Claims(
        summary="Cayley transform: one p × p inverse, the cheapest second-order map",
        source="Wen & Yin 2013; the compact form by Woodbury's identity",
        residual=30,
        domain=math.pi,
        retraction_order=2,
        metric="canonical",
        optimiser="any",
        cost="8np² + 2p³",
        field="complex",
    )

    def evaluate(self, base: Tensor, free: Tensor) -> Evaluation:
        inner = base.mH @ free
        eye, rotation = identity_like(inner), skew(inner)
        if free.shape[-2] == free.shape[-1]:  # K = 0: two n-sized products less
            inverse = accretive_inverse(eye - rotation / 2)
            return Evaluation(base @ (2 * inverse - eye), (inverse,))
        double = add_product(free, base, 2 * eye - inner)
        inverse = accretive_inverse(double.mH @ double / 4 - rotation / 2)
        return Evaluation(add_product(base, double, inverse, scale=-1), (inverse, double))

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        inverse, *double = kept.saved
        if not double:
            return base @ skew(inverse.mH @ (base.mH @ grad) @ inverse.mH)
        # dY = G·Zᵀ + ¼Y·(dQ + dQᵀ) with dQ = −(YZ)ᵀ·G·Zᵀ and YZ = X + X0; X0ᵀY = 2I spares the product X0ᵀdY.
        across = grad @ inverse.mH
        along = base.mH @ across
        pulled = kept.point.mH @ across + along
        even = sym(pulled)
        return add_product(add_product(across, double[0], even / -2), base, skew(pulled) / 2 - along + even)
