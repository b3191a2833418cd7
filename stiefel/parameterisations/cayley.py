"""The Cayley transform from the base, with one p × p inverse."""

import math

import torch
from torch import Tensor

from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.base import Claims, Trivialisation
from stiefel.linalg import accretive_inverse, add_identity_, add_product, add_product_, skew


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
        backward = inner.mH - inner  # −2A
        if free.shape[-2] == free.shape[-1]:  # K = 0: two n-sized products less
            inverse = accretive_inverse(add_identity_(backward / 4))
            return Evaluation(base @ add_identity_(2 * inverse, -1.0), (inverse,))
        double = add_product(free, base, add_identity_(-inner, 2.0))
        inverse = accretive_inverse((double.mH @ double).add_(backward).div_(4))
        return Evaluation(add_product(base, double, inverse, scale=-1), (inverse, double))

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        inverse, *double = kept.saved
        if not double:
            return base @ skew(inverse.mH @ (base.mH @ grad) @ inverse.mH)
        # dQ = −(YZ)ᵀ·G·Zᵀ with YZ = X + X0, dY = G·Zᵀ + ¼Y·(dQ + dQᵀ), dF = dY − X0·(X0ᵀ·dY + ½skew(dQ)); as
        # X0ᵀY = 2I, the product X0ᵀ·G·Zᵀ serves twice.
        across = grad @ inverse.mH
        along = base.mH @ across
        pulled = add_product(along, kept.point.mH, across)
        even = pulled + pulled.mH
        add_product_(across, double[0], even / -4)
        return add_product_(across, base, torch.add(pulled / 2, even, alpha=0.25).sub_(along))
