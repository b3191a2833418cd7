"""Maps whose derivative is written out by hand: one matrix product more per n-sized product is all that it costs.

Autograd forms every intermediate n × p gradient and doesn't know that YᵀY is symmetric, that X0ᵀY = 2I or that a
factor of the forward pass is the factor of the backward one. A map that knows says so in `adjoint`.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Inexact
from torch import Tensor

from stiefel.base import Parameterisation
from stiefel.linalg import is_readable


class Evaluation(NamedTuple):
    """A point and what its adjoint wants to see again."""

    point: Tensor
    saved: tuple[Tensor, ...]


class HandDifferentiated(Parameterisation):
    """A map whose first derivative is `adjoint`; the others are autograd's, through `evaluate`.

    torch.func (forward mode, vmap) and torch.compile differentiate `evaluate` itself: they take no autograd function
    without a `jvp`, and one with a `jvp` is silently wrong in a nested derivative (torch 2.13).
    """

    @abstractmethod
    def evaluate(self, base: Inexact[Tensor, "*b n p"], free: Inexact[Tensor, "*b n p"]) -> Evaluation:
        """Return the point in plain differentiable operations, and the intermediate results to keep."""

    @abstractmethod
    def adjoint(
        self, base: Inexact[Tensor, "*b n p"], kept: Evaluation, grad: Inexact[Tensor, "*b n p"]
    ) -> Inexact[Tensor, "*b n p"]:
        """Return the gradient with respect to `free`, given that with respect to the point. Writes to no argument."""

    def point(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        if is_readable(free):
            return _ByHand.apply(free, self.base, self)
        return self.evaluate(self.base, free).point


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, free: Tensor, base: Tensor, by: HandDifferentiated) -> Tensor:
        point, saved = by.evaluate(base, free)
        ctx.by = by
        ctx.save_for_backward(free, base, point, *saved)
        return point

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        free, base, point, *saved = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return ctx.by.adjoint(base, Evaluation(point, tuple(saved)), grad), None, None
        # Somebody will differentiate this gradient (create_graph=True): let autograd write it.
        point = ctx.by.evaluate(base, free).point
        return torch.autograd.grad(point, free, grad, create_graph=True)[0], None, None
