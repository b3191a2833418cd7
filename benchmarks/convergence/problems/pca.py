"""Principal components: the leading p-dimensional eigenspace of a matrix of prescribed spectrum."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.matrices import basis, with_spectrum
from benchmarks.convergence.problem import Problem

# Between the p-th eigenvalue and the next, where the largest is 1: its inverse is the Hessian's condition number.
EIGENGAP = 0.01
LAST_LEADING, LEAST = 0.8, 1e-3


def spectrum(n: int, p: int) -> Float[Tensor, " n"]:
    """Return eigenvalues from 1 to 0.8 for the p leading directions and, an eigengap below, from there to 0.001."""
    leading = torch.linspace(1, LAST_LEADING, p, dtype=torch.float64)
    rest = torch.logspace(math.log10(LAST_LEADING - EIGENGAP), math.log10(LEAST), n - p, dtype=torch.float64)
    return torch.cat([leading, rest])


class PCA(Problem):
    """−½ tr(XᵀAX): minus half the sum of the p largest eigenvalues at its minimum (Ky Fan)."""

    shape_name = "an eigenspace (PCA)"
    default = (2000, 50)

    def __init__(self, n: int, p: int):
        super().__init__(n, p)
        self.vectors = basis(n, n)
        self.matrix = with_spectrum(self.vectors, spectrum(n, p))
        self.optimum = -float(spectrum(n, p)[:p].sum()) / 2

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        return -(point * (self.matrix @ point)).sum() / 2

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.vectors[:, : self.p]
