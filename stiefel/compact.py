"""Maps whose only n-sized work is nine matrix products, five of them backward.

Around a base X0, split the free tensor as F = X0·M + K with X0ᵀK = 0. Every map here has the form

    X = X0·α(A, S) + K·β(A, S),     A = skew(M) = skew(X0ᵀF),     S = KᵀK = FᵀF − MᵀM,

so a map is two p × p functions of two p × p matrices, and K itself is never formed: X = X0·(α − Mβ) + F·β.
"""

from abc import abstractmethod

import torch
from jaxtyping import Inexact
from torch import Tensor

from stiefel.base import Trivialisation
from stiefel.linalg import add_product_, is_readable, skew


class CompactTrivialisation(Trivialisation):
    """A map around a base that is given by its p × p coefficients α and β.

    Cost of the n-sized work: 8np² flops forward, 10np² backward (4np² and 4np² where n = p, as K = 0 there);
    memory one n × p result. The p × p work is the map's own, and autograd differentiates it.
    """

    @abstractmethod
    def coefficients(
        self, rotation: Inexact[Tensor, "*b p p"], gram: Inexact[Tensor, "*b p p"]
    ) -> tuple[Inexact[Tensor, "*b p p"], Inexact[Tensor, "*b p p"]]:
        """Return (α, β) of the skew A and the positive semidefinite S = KᵀK; S = 0 where n = p."""

    def point(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        n, p = free.shape[-2:]
        if n == p:
            rotation = skew(self.base.mH @ free)
            return self.base @ self.coefficients(rotation, torch.zeros_like(rotation))[0]
        inner, square = _grams(self.base, free)
        along, across = self.coefficients(skew(inner), square - inner.mH @ inner)
        return _combine(self.base, free, along - inner @ across, across)


# The transforms of torch.func (forward mode, vmap) and torch.compile differentiate plain products: they take no
# autograd function without a `jvp`, and one with a `jvp` is silently wrong in a nested derivative (torch 2.13).


def _grams(base: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    return _Grams.apply(base, free) if is_readable(free) else (base.mH @ free, free.mH @ free)


def _combine(base: Tensor, free: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return _Combine.apply(base, free, left, right) if is_readable(free) else base @ left + free @ right


class _Grams(torch.autograd.Function):
    """(X0ᵀF, FᵀF). Autograd would pay one product more: it doesn't know that FᵀF is symmetric."""

    @staticmethod
    def forward(base: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        return base.mH @ free, free.mH @ free

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, inner_grad: Tensor, square_grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        base, free = ctx.saved_tensors
        return None, add_product_(base @ inner_grad, free, square_grad + square_grad.mH)


class _Combine(torch.autograd.Function):
    """X0·L + F·R, the second product accumulated into the first. The base is a constant and has no adjoint."""

    @staticmethod
    def forward(base: Tensor, free: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return add_product_(base @ left, free, right)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        base, free, _, right = ctx.saved_tensors
        return None, grad @ right.mH, base.mH @ grad, free.mH @ grad
