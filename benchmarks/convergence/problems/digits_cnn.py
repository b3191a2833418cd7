"""An orthogonal convolution inside a network on digit images, learnt from the soft labels of one that is solved."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

import stiefel
from benchmarks.convergence.matrices import basis
from benchmarks.convergence.problem import Problem, generator, shuffled
from distill.data.digits import load_digits
from stiefel.errors import ShapeError

FIRST, IMAGES, BATCH = 8, 200, 40
RIDGE, SHARPNESS = 1e-2, 4.0
# The cross-entropy's curvature is about its inverse; see `Problem`.
SCALE = 1 / 16
ROWS = FIRST * 9


class DigitsCNN(Problem):
    """Cross-entropy with soft labels of two 3 × 3 convolutions, 1 → 8 → p channels, the second one's kernel X.

    The first one is frozen, so the second is a product of its outputs' patches with X. The teacher is the same
    network at a hidden X*, with a head fitted to the images' labels by least squares; its labels are soft. No network
    does better than their entropy, and X* does exactly that: the optimum.
    """

    shape_name = "an orthogonal convolution (digits)"
    default = (ROWS, 16)
    is_stochastic = True

    def __init__(self, n: int, p: int):
        if n != ROWS or p > ROWS:
            raise ShapeError("digits CNN", f"{ROWS} x p, a kernel of {FIRST} x 3 x 3", (n, p), cure=f"write {ROWS}xP")
        super().__init__(n, p)
        images, _ = load_digits()
        self.patches = patches(images.pixels[:IMAGES].double())
        self.solution = stiefel.random_point(n, p, dtype=torch.float64, generator=generator(2, 2))
        features = self._features(self.patches, self.solution)
        self.offset = features.mean(0)
        features = features - self.offset
        labels = functional.one_hot(images.labels[:IMAGES], 10).double() - 0.1
        normal = features.T @ features
        normal += RIDGE * torch.linalg.matrix_norm(normal, 2) * torch.eye(len(normal), dtype=torch.float64)
        self.head = SHARPNESS * torch.linalg.solve(normal, features.T @ labels)
        self.soft = self._logits(self.patches, self.solution).softmax(-1)
        self.optimum = SCALE * float(-(self.soft * self.soft.log()).sum(-1).mean())

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        chosen = slice(None) if batch is None else batch
        return SCALE * functional.cross_entropy(self._logits(self.patches[chosen], point), self.soft[chosen])

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.solution

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        return shuffled(IMAGES, BATCH, seed)

    def _features(self, given: Float[Tensor, "b 64 n"], point: Float[Tensor, "n p"]) -> Float[Tensor, "b d"]:
        # Averages over the four quarters of the 8 × 8 outputs.
        maps = (given @ point).relu().reshape(len(given), 2, 4, 2, 4, -1)
        return maps.mean((2, 4)).flatten(1)

    def _logits(self, given: Float[Tensor, "b 64 n"], point: Float[Tensor, "n p"]) -> Float[Tensor, "b classes"]:
        return (self._features(given, point) - self.offset) @ self.head


def patches(images: Float[Tensor, "b 1 8 8"]) -> Float[Tensor, "b 64 n"]:
    """Return the 3 × 3 neighbourhoods of every pixel of the frozen first convolution's outputs."""
    maps = functional.conv2d(images, first_kernel(images.dtype), padding=1).relu()
    return functional.unfold(maps, 3, padding=1).mT


def first_kernel(dtype: torch.dtype) -> Float[Tensor, "c 1 3 3"]:
    """Return the frozen kernel of the first convolution."""
    return basis(9, FIRST).T.reshape(FIRST, 1, 3, 3).to(dtype)
