"""Mutants whose points are right and whose derivatives aren't: only laws of the derivatives can refute them."""

import torch
from jaxtyping import Float
from torch import Tensor

from proofs.compact_forms import CompactCayley
from stiefel.adjoint import Evaluation
from stiefel.parameterisations.cayley import Cayley
from stiefel.parameterisations.polar import Polar


class DetachedSolve(CompactCayley):
    """Cuts the graph behind the solve for half of the result."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        along, across = super().coefficients(rotation, gram)
        return along, across.detach()


class WrongAdjoint(Cayley):
    """Forgets in its hand-written gradient that the inverse depends on the normal part too."""

    def adjoint(self, base: Tensor, kept: Evaluation, grad: Tensor) -> Tensor:
        across = grad @ kept.saved[0].mT
        turn = kept.point.mT @ across + base.mT @ across
        return across + base @ ((turn - turn.mT) / 4 - base.mT @ across)


class TangentButWrong(Cayley):
    """A gradient that is tangent, self-adjoint and right at the base, and wrong elsewhere."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return _WrongBackward.apply(free, super().point(free.detach()), self.base)


class _WrongBackward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(free: Tensor, point: Tensor, base: Tensor) -> Tensor:
        return point.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (base,) = ctx.saved_tensors
        inner = base.mT @ grad
        return grad - base @ (inner + inner.mT) / 2, None, None


class WrongForwardMode(Cayley):
    """Right forward and backward; its derivative in forward mode is twice as long."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return _DoubledTangent.apply(super().point(free))


class _DoubledTangent(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(point: Tensor) -> Tensor:
        return point.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad

    @staticmethod
    def jvp(ctx, tangent: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * tangent


class PolarThroughSVD(Polar):
    """Differentiates an SVD, whose gradient is NaN where singular values are equal: exactly on the manifold."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        inner = self.base.mT @ free
        left, _, right = torch.linalg.svd(self.base + free - self.base @ (inner + inner.mT) / 2, full_matrices=False)
        return left @ right
