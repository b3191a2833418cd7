"""Balanced orthogonal Procrustes: the frame that turns given coordinates into noisy observations."""

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.matrices import basis
from benchmarks.convergence.problem import Problem, generator

# Of C·Cᵀ, and of the Hessian up to the noise.
CONDITION, NOISE = 100.0, 0.01


class Procrustes(Problem):
    """½‖X·C − B‖², C p × 2p: the X that is nearest to carrying C to B.

    Balanced, as ‖X·C‖ = ‖C‖ for every X: the loss is ½(‖C‖² + ‖B‖²) − tr(XᵀBCᵀ), so the polar factor of B·Cᵀ
    minimises it (Schönemann 1966).
    """

    shape_name = "alignment (Procrustes)"
    default = (2000, 50)

    def __init__(self, n: int, p: int):
        super().__init__(n, p)
        values = torch.logspace(0, -torch.tensor(CONDITION).log10().item() / 2, p, dtype=torch.float64)
        self.given = (basis(2 * p, p) * values).T  # (p, 2p)
        noise = torch.randn(n, 2 * p, dtype=torch.float64, generator=generator(1, 2)) / n**0.5
        self.observed = basis(n, p) @ self.given + NOISE * noise  # (n, 2p)
        left, values, right = torch.linalg.svd(self.observed @ self.given.T, full_matrices=False)
        self.best = left @ right
        squares = self.given.square().sum() + self.observed.square().sum()
        self.optimum = float(squares / 2 - values.sum())

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        return (point @ self.given - self.observed).square().sum() / 2

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.best
