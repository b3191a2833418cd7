"""Joint diagonalisation (SOBI): unmix real image signals by the lagged covariances of their whitened mixtures."""

import math

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import load_sample_images
from torch import Tensor

import stiefel
from benchmarks.convergence.problem import Problem, generator
from stiefel.errors import ShapeError

LAGS = (1, 2, 3, 5, 8, 13, 21, 34)
# Signals a picture: 4 × 4 tiles of each of scikit-learn's two.
_TILES = 4
_SEEDS = (1, 2)
# The loss is flat to the square of the angle: this is far below its rounding.
_SWEEPS, _ANGLE = 100, 1e-10


class JointDiagonalisation(Problem):
    """½ Σ_k ‖off(XᵀC_kX)‖² over the lagged covariances C_k of n mixed signals; n = p.

    The signals are real and only nearly uncorrelated, so no X makes it 0. The optimum is that of Jacobi rotations in
    closed form (Cardoso & Souloumiac 1996), best of several starts: not proved, and a test tries to go below it.
    """

    shape_name = "joint diagonalisation, ICA (square)"
    default = (12, 12)
    is_proved = False

    def __init__(self, n: int, p: int):
        if n != p or n > 2 * _TILES**2:
            raise ShapeError("joint diagonalisation", f"n x n, n <= {2 * _TILES**2}", (n, p), cure="take fewer signals")
        super().__init__(n, p)
        self.covariances = lagged_covariances(mixtures(n))
        starts = (stiefel.random_point(n, n, dtype=torch.float64, generator=generator(seed, 2)) for seed in _SEEDS)
        found = (jacobi(self.covariances, start) for start in starts)
        self.best = min(found, key=lambda x: float(self.loss(x)))
        self.optimum = float(self.loss(self.best))

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        turned = point.mT @ (self.covariances @ point)
        return (turned.square().sum() - turned.diagonal(dim1=-2, dim2=-1).square().sum()) / 2

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.best


def mixtures(n: int) -> Float[Tensor, "n samples"]:
    """Return n random mixtures of as many tiles of real photographs, read row by row, centred."""
    pictures = [torch.tensor(image, dtype=torch.float64).mean(-1) for image in load_sample_images().images]
    tiles = []
    for picture in pictures:
        height, width = (size // _TILES for size in picture.shape)
        blocks = picture[: height * _TILES, : width * _TILES].unfold(0, height, height).unfold(1, width, width)
        tiles.append(blocks.reshape(_TILES**2, height * width))
    # One tile of each picture in turn.
    signals = torch.stack(tiles, 1).flatten(0, 1)[:n]
    mixing = torch.randn(n, n, dtype=torch.float64, generator=generator(0, 2))
    return mixing @ (signals - signals.mean(1, keepdim=True))


def lagged_covariances(signals: Float[Tensor, "n samples"]) -> Float[Tensor, "lags n n"]:
    """Return the symmetrised covariances of the whitened signals, scaled to curvature about 1."""
    count = signals.shape[1]
    values, vectors = torch.linalg.eigh(signals @ signals.T / count)
    white = (vectors / values.sqrt()).T @ signals
    covariances = torch.stack([white[:, lag:] @ white[:, : count - lag].T / count for lag in LAGS])
    covariances = (covariances + covariances.mT) / 2
    return covariances / torch.linalg.matrix_norm(covariances, 2).square().sum().sqrt()


def jacobi(matrices: Float[Tensor, "k n n"], start: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return the joint diagonaliser that sweeps of plane rotations, each optimal, end at."""
    x = start.numpy().copy()
    turned = x.T @ matrices.numpy() @ x
    for _ in range(_SWEEPS):
        largest = 0.0
        for i in range(len(x)):
            for j in range(i):
                difference, beside = turned[:, i, i] - turned[:, j, j], 2 * turned[:, i, j]
                on, off = difference @ difference - beside @ beside, 2 * difference @ beside
                angle = math.atan2(off, on + math.hypot(on, off)) / 2
                largest = max(largest, abs(angle))
                cosine, sine = math.cos(angle), math.sin(angle)
                plane = np.array([[cosine, -sine], [sine, cosine]])
                x[:, [i, j]] = x[:, [i, j]] @ plane
                turned[:, :, [i, j]] = turned[:, :, [i, j]] @ plane
                turned[:, [i, j], :] = plane.T @ turned[:, [i, j], :]
        if largest < _ANGLE:
            break
    return torch.from_numpy(x)
