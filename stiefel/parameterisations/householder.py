"""A product of p Householder reflectors, in its compact WY form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from stiefel.base import Claims, Parameterisation
from stiefel.linalg import gram, leading_identity, transpose


class Householder(Parameterisation):
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

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        signs = self.base.diagonal(dim1=-2, dim2=-1)
        return _product(self.base + free) * signs.unsqueeze(-2)

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        reflectors, _ = torch.geqrf(point.double())
        # LAPACK leaves out a reflector where the column is done (the last of a square matrix); the compact WY
        # form always reflects. So the signs are read off the product itself, not off LAPACK's R.
        signs = (_product(reflectors) * point).sum(-2).sign()
        self.base.copy_(reflectors)
        self.base.diagonal(dim1=-2, dim2=-1).copy_(signs)
        return torch.zeros_like(point)


def _product(packed: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return H₁…H_p·E of the reflectors below the diagonal of `packed`; nothing else of it is read."""
    first = leading_identity(packed)
    reflectors = torch.tril(packed, -1) + first
    inner = gram(reflectors)
    factor = torch.triu(inner, 1) + torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1) / 2)
    top = transpose(reflectors[..., : packed.shape[-1], :])
    return first - reflectors @ torch.linalg.solve_triangular(factor, top, upper=True)
