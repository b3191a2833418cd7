"""The contract of a problem: a loss on St(n, p) whose minimum is known. Add one as a file of `problems/`."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import repeat
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

import stiefel


class Problem(ABC):
    """A loss of one point. Everything about it but the start and the order of the data is the same for every seed.

    shape_name: what a recommendation calls problems like this one.
    default: the shape (n, p) that its name alone stands for.
    is_stochastic: methods see mini-batches in float32; otherwise the one loss in float64.
    optimum: the least loss over St(n, p), known in float64 (`is_proved` says if it is a theorem that it is, or the
        best of an independent solver's minima).
    Losses are scaled so that one learning rate means about the same step on each of them: curvature O(1).
    """

    shape_name: ClassVar[str]
    default: ClassVar[tuple[int, int]]
    is_stochastic: ClassVar[bool] = False
    is_proved: ClassVar[bool] = True

    def __init__(self, n: int, p: int):
        self.n, self.p = n, p
        self.optimum = 0.0
        self.dtype = torch.float64

    @abstractmethod
    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        """Return the loss over a batch of sample indices, or over all samples."""

    @abstractmethod
    def minimiser(self) -> Float[Tensor, "n p"]:
        """Return a float64 point whose loss is the optimum."""

    def start(self, seed: int) -> Float[Tensor, "n p"]:
        """Return the float64 point that every method starts from: uniform on the manifold.

        Where n = p, in the component that the minimiser lies in: no method can leave the one that it starts in.
        """
        gaussian = torch.randn(self.n, self.p, dtype=torch.float64, generator=generator(seed, 0))
        if self.n > self.p:
            return stiefel.nearest_point(gaussian)
        return stiefel.nearest_point(gaussian, determinant=1 if torch.linalg.det(self.minimiser()) > 0 else -1)

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        """Yield the batches of a run without end: the same order for every method."""
        return repeat(None)

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same problem with its data in another precision."""
        twin = copy.copy(self)
        twin.dtype = dtype
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(twin, name, value.to(dtype))
        return twin

    @property
    def working(self) -> Self:
        """The problem as methods see it."""
        return self.to(torch.float32 if self.is_stochastic else torch.float64)


def value_and_gradient(
    problem: Problem, point: Float[Tensor, "n p"], batch: Tensor | None = None
) -> tuple[float, Float[Tensor, "n p"]]:
    """Return the loss and its derivative by the entries of the point."""
    leaf = point.detach().requires_grad_()
    with torch.enable_grad():
        value = problem.loss(leaf, batch)
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient


def generator(seed: int, stream: int) -> torch.Generator:
    """Return the random numbers of a seed: stream 0 for starts, 1 for the data's order, 2 for the problem itself."""
    return torch.Generator().manual_seed(1000 * seed + stream)


def shuffled(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield batches of `size` of `count` samples, epoch after epoch, each in an order of its own."""
    order = generator(seed, 1)
    while True:
        yield from torch.randperm(count, generator=order)[: count - count % size].split(size)
