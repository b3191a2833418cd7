"""A case: the sizes, dtype, structure and seed from which a law builds its matrices, the same ones every time."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Structure = Literal["dense", "rank two", "rotation", "graded", "sparse", "deficient normal"]
Base = Literal["uniform", "axes"]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)
BASES: tuple[Base, ...] = get_args(Base)


@dataclass(frozen=True)
class Case:
    """What hypothesis draws and shrinks; the matrices follow from it, as drawing entries one by one shrinks badly.

    structure: the shape of the step away from the base. "rotation" turns pairs of columns by the angle `norm`
        (π gives eigenvalues −1), "graded" has columns from 1 down to 1e-12, "deficient normal" a normal part K of
        rank one beside a full rotation part.
    norm: spectral norm of the step; 0 and 1e-30 are among those drawn.
    base: a uniform point of St(n, p), or signed columns of a permutation.
    steps: how many steps of an optimiser a long run takes.
    """

    n: int
    p: int
    batch: tuple[int, ...]
    dtype: torch.dtype
    structure: Structure
    norm: float
    base: Base
    seed: int
    steps: int = 1000

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (*batch, n, p) of the point and of the free tensor."""
        return (*self.batch, self.n, self.p)

    @property
    def unit(self) -> float:
        """The unit n·eps in which bounds are claimed."""
        return self.n * torch.finfo(self.dtype).eps

    def random(self, *shape: int, stream: int) -> Float[Tensor, "..."]:
        """Return float64 Gaussian entries; another `stream` gives independent ones."""
        # torch's CPU generator keeps the low 32 bits of a seed, so the two are hashed into 32.
        mixed = np.random.SeedSequence((self.seed, stream)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def matrices(self) -> tuple[Float[Tensor, "*b n p"], Float[Tensor, "*b n p"]]:
        """Return (base point, step away from it), made in float64 and rounded once to the case's dtype."""
        base = self._base()
        step = self._step(base)
        largest = torch.linalg.matrix_norm(step, ord=2, keepdim=True)
        # Only St(1, 1) has no direction to step in: its step stays zero.
        step = torch.where(largest > 0, self.norm * step / largest, 0.0)
        return base.to(self.dtype), step.to(self.dtype)

    def _base(self) -> Tensor:
        gaussian = self.random(*self.shape, stream=1)
        if self.base == "uniform":
            return torch.linalg.qr(gaussian).Q
        # Ranking the first column draws a permutation; the signs come from the diagonal.
        rows = gaussian[..., 0].argsort(-1)[..., : self.p]
        signs = gaussian.diagonal(dim1=-2, dim2=-1).sign()
        return torch.nn.functional.one_hot(rows, self.n).transpose(-2, -1) * signs.unsqueeze(-2)

    def _step(self, base: Tensor) -> Tensor:
        gaussian = self.random(*self.shape, stream=2)
        if self.structure == "rank two":
            return gaussian[..., :2] @ self.random(*self.batch, min(2, self.p), self.p, stream=3)
        if self.structure == "rotation":
            return self._rotation(base, gaussian)
        if self.structure == "graded":
            return gaussian * torch.logspace(0, -12, self.p, dtype=gaussian.dtype)
        if self.structure == "sparse":
            keep = gaussian.abs() >= gaussian.abs().flatten(-2).quantile(0.9, dim=-1)[..., None, None]
            return gaussian * keep
        if self.structure == "deficient normal":
            turn = self.random(*self.batch, self.p, self.p, stream=3)
            outer = gaussian[..., :1] @ turn[..., :1, :]
            return base @ (turn - turn.transpose(-2, -1)) + outer - base @ (base.transpose(-2, -1) @ outer)
        return gaussian

    def _rotation(self, base: Tensor, gaussian: Tensor) -> Tensor:
        turn = torch.zeros(self.p, self.p, dtype=gaussian.dtype)
        even = torch.arange(0, self.p - 1, 2)
        turn[even, even + 1], turn[even + 1, even] = -1.0, 1.0
        if self.p > 1:
            return base @ turn
        # A single column turns in the plane of itself and any direction across it.
        return gaussian - base @ (base.transpose(-2, -1) @ gaussian)

    def as_python(self) -> str:
        """Return the expression that builds this case again."""
        norm = "math.pi" if self.norm == math.pi else repr(self.norm)
        return (
            f"Case(n={self.n}, p={self.p}, batch={self.batch}, dtype={self.dtype}, structure={self.structure!r}, "
            f"norm={norm}, base={self.base!r}, seed={self.seed}, steps={self.steps})"
        )
