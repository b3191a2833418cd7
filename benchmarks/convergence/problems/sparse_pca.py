"""Sparse PCA, smoothed: leading components that are also sparse, with a planted solution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.problem import Problem, generator

# √(x² + WIDTH²) − WIDTH is |x| smoothed. WEIGHT/WIDTH, the curvature that it has at 0, is below the eigengap: else
# every coordinate vector, leading or not, would be a local minimum.
WEIGHT, WIDTH = 0.03, 0.1
LEADING, OTHERS = (1.0, 0.9), (0.4, 0.0)


class SparsePCA(Problem):
    """−½ tr(XᵀAX) + WEIGHT · Σ (√(x² + WIDTH²) − WIDTH), the leading eigenvectors of A being coordinate vectors.

    Both terms are least there: the first by Ky Fan's theorem; the second column by column, as √(s + WIDTH²) is
    concave in s = x² and so least over Σs = 1 at a vertex.
    """

    shape_name = "a sparse eigenspace (sparse PCA)"
    default = (200, 10)

    def __init__(self, n: int, p: int):
        super().__init__(n, p)
        leading, others = torch.linspace(*LEADING, p), torch.linspace(*OTHERS, n - p)
        values = torch.cat([leading, others]).double()
        self.order = torch.randperm(n, generator=generator(0, 2))
        self.diagonal = torch.empty(n, 1, dtype=torch.float64)
        self.diagonal[self.order, 0] = values
        self.optimum = -float(values[:p].sum()) / 2 + WEIGHT * p * (math.hypot(1, WIDTH) - WIDTH)

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        smoothed = (point.square() + WIDTH**2).sqrt() - WIDTH
        return -(self.diagonal * point.square()).sum() / 2 + WEIGHT * smoothed.sum()

    def minimiser(self) -> Float[Tensor, "n p"]:
        point = torch.zeros(self.n, self.p, dtype=torch.float64)
        point[self.order[: self.p], torch.arange(self.p)] = 1
        return point
