"""The polar factor of base plus tangent: the nearest point of the manifold."""

import math

import torch
from torch import Tensor

from stiefel.adjoint import Evaluation, HandDifferentiated
from stiefel.base import Claims, Trivialisation
from stiefel.linalg import add_identity_, add_product, add_product_, is_readable, skew, sym
from stiefel.roots import Root, commutator, inverse_sqrt, root


class Polar(HandDifferentiated, Trivialisation):
    """X = Y·(YᵀY)^{-1/2}, Y = X0 + U: the root is of I + UᵀU, a matrix >= I whatever U is.

    The root is found by matrix products near the base and by an eigendecomposition far from it: `stiefel.roots`.
    """

    claims = Claims(
        summary="polar factor: the nearest point to base + tangent",
        source="Absil, Mahony & Sepulchre 2008, example 4.1.3; Absil & Malick 2012 (second order)",
        residual=30,
        domain=math.pi,
        retraction_order=2,
        metric="euclidean",
        optimiser="any",
        cost="8np² + c·p³",
        field="complex",
    )

    def evaluate(self, base: Tensor, free: Tensor) -> Evaluation:
        inner = base.mH @ free
        moved = add_product(free, base, add_identity_(-sym(inner)))
        gram = moved.mH @ moved
        if torch.is_grad_enabled() or not is_readable(gram):
            return Evaluation(moved @ inverse_sqrt(gram), ())
        found = root(gram)
        return Evaluation(moved @ found.inverse, (gram, *found))

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        # dX = (I − XXᵀ)·dY·Z + X·Ω with ΩH + HΩ = Xᵀdy − dYᵀX, H = Z⁻¹; its adjoint is (G − X·C)·Z.
        gram, *found = kept.saved
        inner = kept.point.mH @ grad
        even = sym(inner) - commutator(gram, Root(*found), skew(inner))
        along = add_product_(grad @ found[0], kept.point, -even @ found[0])
        return add_product_(along, base, -sym(base.mH @ along))
