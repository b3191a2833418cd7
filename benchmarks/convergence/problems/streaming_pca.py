"""Streaming PCA: the leading components of real digit images, seen in mini-batches."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks.convergence.problem import Problem, shuffled
from stiefel.errors import ShapeError

BATCH, PIXELS = 64, 64


class StreamingPCA(Problem):
    """−½ mean ‖Xᵀz‖² over centred images z, scaled to a largest eigenvalue of 1 of their covariance.

    Its minimum over all images is minus half the sum of the covariance's p largest eigenvalues.
    """

    shape_name = "an eigenspace from mini-batches (streaming PCA)"
    default = (PIXELS, 10)
    is_stochastic = True

    def __init__(self, n: int, p: int):
        if n != PIXELS:
            raise ShapeError("streaming PCA", f"{PIXELS} x p, an image's pixels", (n, p), cure="write 64xP")
        super().__init__(n, p)
        pixels, _ = load_digits(return_X_y=True)
        images = torch.from_numpy(pixels).double()
        images -= images.mean(0)
        values, vectors = torch.linalg.eigh(images.T @ images / len(images))
        self.images = images / values[-1].sqrt()
        self.leading = vectors[:, -p:]
        self.optimum = -float(values[-p:].sum() / values[-1]) / 2

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        images = self.images if batch is None else self.images[batch]
        return -(images @ point).square().sum() / (2 * len(images))

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.leading

    def batches(self, seed: int) -> Iterator[Tensor | None]:
        return shuffled(len(self.images), BATCH, seed)
