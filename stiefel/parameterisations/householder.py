"""A product of p Householder reflectors, in its compact WY form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.base import Claims
from stiefel.linalg import add_product_, leading_identity, triangular_inverse


class Householder(HandDifferentiated):
    """X = H₁…H_p·E·D, H_i = I − 2vᵢvᵢᵀ/‖vᵢ‖², V = V0 + tril(F, −1) unit lower trapezoidal, D = diag(±1) fixed.

    Computed as (E − V·M⁻¹·V_topᵀ)·D with M = striu(VᵀV) + ½diag(VᵀV), E the first p columns of the identity.
    The base buffer packs V0 under its diagonal and D on it. Orthonormal for every V, so nothing an optimiser
    does to F can leave the manifold: the signs are a buffer, where torch's own map trains and truncates them
    (one step of weight decay makes its weight exactly zero).
    """

    claims = Claims(
        summary="product of Householder reflectors: compact WY, orthonormal for any free tensor",
        source="Schreiber & Van Loan 1989; Joffrain et al. 2006 (the triangular factor's inverse)",
        residual=30,
        domain=math.pi,
        retraction_order=None,
        metric="euclidean",
        optimiser="any",
        cost="5np² + p³",
    )

    def evaluate(self, base: Tensor, free: Tensor) -> Evaluation:
        signs = base.diagonal(dim1=-2, dim2=-1)
        reflectors = _reflectors(base + free)
        inverse, inner = _factors(reflectors)
        turned = inner * -signs.unsqueeze(-2)
        point = reflectors @ turned
        point.diagonal(dim1=-2, dim2=-1).add_(signs)
        return Evaluation(point, (reflectors, inverse, inner, turned))

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        reflectors, inverse, inner, turned = kept.saved
        # With B = T⁻¹·V_topᵀ: dB = −Vᵀ·G·D, dV_top = dBᵀ·T⁻¹, dT = −T⁻ᵀ·dB·Bᵀ and dV = −G·D·Bᵀ + V·(dN + dNᵀ).
        pulled = (reflectors.mH @ grad) * base.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
        top = inverse.mH @ pulled
        upper = torch.triu(top @ inner.mH)
        result = add_product_(grad @ turned.mH, reflectors, upper + torch.triu(upper, 1).mH)
        result[..., : top.shape[-1], :] -= top.mH
        return result.tril_(-1)

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        packed, _ = torch.geqrf(point.double())
        reflectors = _reflectors(packed)
        product = leading_identity(point) - reflectors @ _factors(reflectors)[1]
        # LAPACK leaves out a reflector where the column is done (the last of a square matrix); the compact WY
        # form always reflects. So the signs are read off the product itself, not off LAPACK's R.
        self.base.copy_(packed)
        self.base.diagonal(dim1=-2, dim2=-1).copy_((product * point).sum(-2).sign())
        return torch.zeros_like(point)


def _reflectors(packed: Tensor) -> Tensor:
    """Return V, unit lower trapezoidal, from the entries below the diagonal; nothing else of them is read."""
    reflectors = torch.tril(packed, -1)
    reflectors.diagonal(dim1=-2, dim2=-1).fill_(1)
    return reflectors


def _factors(reflectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return (T⁻¹, T⁻¹·V_topᵀ) with T = striu(VᵀV) + ½diag(VᵀV), so that H₁…H_p·E is E − V·T⁻¹·V_topᵀ."""
    factor = torch.triu(reflectors.mH @ reflectors)
    factor.diagonal(dim1=-2, dim2=-1).div_(2)
    inverse = triangular_inverse(factor)
    return inverse, inverse @ reflectors[..., : factor.shape[-1], :].mH
