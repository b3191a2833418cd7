"""Wrong maps, each with the laws that must refute it: a law that lets its mutants live proves nothing.

A mutant is a registered map with one thing wrong, hence a subclass of a class that is otherwise final.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from proofs.compact_forms import CompactCayley, CompactPolar
from proofs.wrong_derivatives import DetachedSolve, PolarThroughSVD, TangentButWrong, WrongAdjoint, WrongForwardMode
from proofs.wrong_in_use import (
    CreepingBase,
    DeadStart,
    GraphBreak,
    OtherWhenCompiled,
    PointAsFree,
    TruncatedDiagonal,
    Unchecked,
    UnguardedLanding,
    UnsavedBase,
)
from stiefel import Parameterisation
from stiefel.parameterisations.cayley import Cayley
from stiefel.parameterisations.exponential import Exponential
from stiefel.parameterisations.givens import Givens
from stiefel.parameterisations.householder import Householder
from stiefel.parameterisations.polar import Polar
from stiefel.parameterisations.qr import QR


@dataclass(frozen=True)
class Mutant:
    """A wrong map and the laws that must refute it."""

    by: type[Parameterisation]
    refuted_by: tuple[str, ...]


class NonSkewPart(CompactCayley):
    """Keeps the symmetric part of X0ᵀF, which no tangent vector has."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        inner = self.base.mT @ free
        normal = free - self.base @ inner
        along, across = self.coefficients(inner, normal.mT @ normal)
        return self.base @ along + normal @ across


class UnconstrainedExponential(Exponential):
    """The matrix exponential of an unconstrained weight."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return torch.linalg.matrix_exp(free @ self.base.mT) @ self.base


class TaylorWithoutScaling(Exponential):
    """Taylor's polynomial of degree six, without scaling and squaring."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype).expand_as(gram)
        block = torch.cat([torch.cat([rotation, -gram], -1), torch.cat([eye, torch.zeros_like(gram)], -1)], -2)
        term = total = torch.eye(block.shape[-1], dtype=gram.dtype).expand_as(block)
        for degree in range(1, 7):
            term = term @ block / degree
            total = total + term
        along, across = total[..., : gram.shape[-1]].split(gram.shape[-1], -2)
        return along, across


class TruncatedNeumann(CompactCayley):
    """Cayley's inverse by five terms of its Neumann series."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        small = rotation / 2 - gram / 4
        inverse = eye + small @ (eye + small @ (eye + small @ (eye + small)))
        return 2 * inverse - eye, inverse


class BFloat16Inside(CompactPolar):
    """Rounds its p × p work to bfloat16, as autocast would."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        along, across = super().coefficients(rotation, gram)
        return along.bfloat16().to(gram.dtype), across.bfloat16().to(gram.dtype)


class Float32Inside(QR):
    """Computes in float32 whatever it is given."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        wide, self.base = self.base, self.base.float()
        result = super().point(free.float()).to(free.dtype)
        self.base = wide
        return result


class OneInAMillion(Polar):
    """Too long by a factor 1 + 1e-6."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return super().point(free) * (1 + 1e-6)


class CayleySign(CompactCayley):
    """Turns the wrong way: orthonormal all the same."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        return super().coefficients(-rotation, gram)


class DoubledRotation(Exponential):
    """Turns twice as far as told: orthonormal, but no retraction."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        return super().coefficients(2 * rotation, gram)


class NotIdempotent(CompactPolar):
    """Projects by u − x·uᵀx as geoopt 0.5.1's canonical Stiefel does: self-adjoint, but not idempotent."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return super().point(free - self.base @ free.mT @ self.base)


class NotSelfAdjoint(Cayley):
    """Reads the rotation off the lower triangle of X0ᵀF: idempotent and right on tangent vectors, but oblique."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        inner = self.base.mT @ free
        lower = inner.tril(-1)
        return super().point(free - self.base @ inner + self.base @ (lower - lower.mT))


class OrderTooHigh(QR):
    """A first-order retraction that claims the second."""

    claims = replace(QR.claims, retraction_order=2)


class WrongMetric(Cayley):
    """Claims the Euclidean geodesic, where it follows the canonical one."""

    claims = replace(Cayley.claims, metric="euclidean")


class Crooked(Cayley):
    """Bends the free tensor entry by entry: a retraction of order two that depends on the axes."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return super().point(free + free**3 / 10)


class AnotherWayBack(Exponential):
    """Turns on by a skew matrix that is even in the rotation: going back doesn't undo it."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        lower = (rotation @ rotation).tril(-1)
        return super().coefficients(rotation + (lower - lower.mT) / 10, gram)


class SharedRotation(CompactCayley):
    """Gives every matrix of a batch the batch's mean rotation."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        mean = rotation.reshape(-1, *rotation.shape[-2:]).mean(0).expand_as(rotation)
        return super().coefficients(mean, gram)


class UnmovedBase(Cayley):
    """Says that it starts at a point, and stays where it was."""

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return torch.zeros_like(point)


class UnsignedReflectors(Householder):
    """Forgets the signs of R's diagonal, so that some columns come back negated."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        signs = self.base.diagonal(dim1=-2, dim2=-1)
        return super().point(free) * signs.unsqueeze(-2)


class OppositeSine(Givens):
    """Turns the wrong way with the angles of the first column, which `right_inverse` reads the right way."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        first = torch.zeros_like(free)
        first[..., 0] = 2.0
        return super().point(free - first * (self.base + free))


class ForgottenReflection(Givens):
    """Makes every point from rotations alone, so that a square reflection comes back as a rotation."""

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        free = super().recentre(point)
        self.base.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return free


MUTANTS: tuple[Mutant, ...] = (
    Mutant(NonSkewPart, ("on the manifold", "inner products kept", "kernels kept")),
    Mutant(UnconstrainedExponential, ("on the manifold", "inner products kept", "kernels kept")),
    Mutant(TaylorWithoutScaling, ("on the manifold", "equals oracle", "retraction order")),
    Mutant(TruncatedNeumann, ("on the manifold", "equals oracle", "precision kept")),
    Mutant(BFloat16Inside, ("on the manifold", "equals oracle")),
    Mutant(Float32Inside, ("on the manifold", "equals oracle", "gradient")),
    Mutant(OneInAMillion, ("on the manifold", "zero gives base")),
    Mutant(CayleySign, ("derivative at base", "equals oracle", "projection at base")),
    Mutant(DoubledRotation, ("derivative at base", "retraction order", "projection at base", "logarithm")),
    Mutant(NotIdempotent, ("projection at base", "derivative at base")),
    Mutant(NotSelfAdjoint, ("projection at base",)),
    Mutant(OrderTooHigh, ("retraction order",)),
    Mutant(WrongMetric, ("retraction order",)),
    Mutant(Crooked, ("equivariant", "equals oracle")),
    Mutant(AnotherWayBack, ("inverse symmetric", "logarithm", "equals oracle")),
    Mutant(SharedRotation, ("batch equals loop", "equals oracle")),
    Mutant(DetachedSolve, ("gradient", "higher gradients", "transport is tangent")),
    Mutant(WrongAdjoint, ("gradient",)),
    Mutant(TangentButWrong, ("gradient", "higher gradients")),
    Mutant(WrongForwardMode, ("forward mode",)),
    Mutant(PolarThroughSVD, ("projection at base", "higher gradients")),
    Mutant(UnmovedBase, ("round trip", "zero gives base")),
    Mutant(UnsignedReflectors, ("round trip", "zero gives base", "equals oracle")),
    Mutant(TruncatedDiagonal, ("trained", "zero gives base")),
    Mutant(OppositeSine, ("round trip", "zero gives base", "equals oracle")),
    Mutant(ForgottenReflection, ("zero gives base",)),
    Mutant(CreepingBase, ("without drift",)),
    Mutant(DeadStart, ("target reached",)),
    Mutant(GraphBreak, ("compiled equals eager",)),
    Mutant(OtherWhenCompiled, ("compiled equals eager",)),
    Mutant(UnsavedBase, ("saved and copied",)),
    Mutant(PointAsFree, ("on the manifold", "trained", "averaged", "transport is tangent")),
    Mutant(UnguardedLanding, ("trained",)),
    Mutant(Unchecked, ("bad input refused",)),
)
