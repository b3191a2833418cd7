"""Mutants whose points and derivatives are right: only laws of use (training, saving, compiling) can refute them."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from proofs.compact_forms import CompactCayley
from stiefel import Trivialisation
from stiefel.linalg import newton_schulz_step
from stiefel.optim.retraction import LandingStiefel
from stiefel.parameterisations.cayley import Cayley
from stiefel.parameterisations.householder import Householder
from stiefel.parameterisations.landing import Landing


class TruncatedDiagonal(Householder):
    """Trains the signs and truncates them to integers, as torch's orthogonal(…, "householder") does.

    One step of weight decay takes a sign from 1 to 0.99…, hence to 0.
    """

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        signs = self.base.diagonal(dim1=-2, dim2=-1)
        trained = free.diagonal(dim1=-2, dim2=-1).trunc()
        return super().point(free) * (signs * trained).unsqueeze(-2)

    def recentre(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        free = super().recentre(point)
        free.diagonal(dim1=-2, dim2=-1).copy_(self.base.diagonal(dim1=-2, dim2=-1))
        return free


class UnsavedBase(Cayley):
    """Keeps its base out of the state_dict."""

    def __init__(self, *shape: int, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None):
        super().__init__(*shape, dtype=dtype, device=device)
        self.register_buffer("base", self.base, persistent=False)


class CreepingBase(Cayley):
    """Starts four ulps beside the point it is moved to: nothing after one move, too much after fifty."""

    def right_inverse(self, point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        free = super().right_inverse(point)
        self.base.copy_(point * (1 + 4 * torch.finfo(point.dtype).eps))
        return free


class DeadStart(Cayley):
    """Cubes the free tensor: the gradient at the base is zero, so training never leaves it."""

    claims = replace(Cayley.claims, retraction_order=None)

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return super().point(free**3)


class GraphBreak(Cayley):
    """Looks at a value, which no graph can hold."""

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return super().point(free * 1.0 if bool(free.any()) else free)


class OtherWhenCompiled(CompactCayley):
    """Rounds to bfloat16 in a compiled graph alone, where nobody looks."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        along, across = super().coefficients(rotation, gram)
        return (along.bfloat16().to(gram.dtype) if torch.compiler.is_compiling() else along), across


class PointAsFree(Trivialisation):
    """Trains the point itself, and claims that any optimiser keeps it on the manifold."""

    claims = replace(Cayley.claims, retraction_order=None)

    def point(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return self.base + free


class OneStepStiefel(LandingStiefel):
    """Takes one Newton-Schulz step after a step of any length, as public codes of landing do."""

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        return newton_schulz_step(x + u)


class UnguardedLanding(Landing):
    """Lands in one step whatever the length; trained by geoopt's optimisers, which ask the manifold to retract."""

    manifold = OneStepStiefel


class Unchecked(Cayley):
    """Takes whatever comes."""

    def forward(self, free: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
        return self.point(free)
