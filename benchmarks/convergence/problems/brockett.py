"""Brockett's cost: single eigenvectors in order, not only the space that they span."""

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.convergence.matrices import basis, with_spectrum
from benchmarks.convergence.problem import Problem


def spectrum(n: int, p: int) -> Float[Tensor, " n"]:
    """Return p eigenvalues from 0 on, 1/p apart, and the others from 1 to 1.2.

    With weights 1/p apart too, the Hessian's condition number is 1.2·p²: single eigenvectors are that much harder.
    """
    least = torch.arange(p, dtype=torch.float64) / p
    return torch.cat([least, torch.linspace(1, 1.2, n - p, dtype=torch.float64)])


class Brockett(Problem):
    """½ tr(XᵀAXN), N = diag(1, …, 1/p): least where the largest weight meets the least eigenvalue, and so on.

    Source: Brockett 1991; Absil, Mahony & Sepulchre 2008, section 4.8.
    """

    shape_name = "ordered eigenvectors (Brockett)"
    default = (2000, 50)

    def __init__(self, n: int, p: int):
        super().__init__(n, p)
        self.vectors = basis(n, n)
        self.matrix = with_spectrum(self.vectors, spectrum(n, p))
        self.weights = torch.arange(p, 0, -1, dtype=torch.float64) / p
        self.optimum = float((spectrum(n, p)[:p] * self.weights).sum()) / 2

    def loss(self, point: Float[Tensor, "n p"], batch: Tensor | None = None) -> Float[Tensor, ""]:
        return (point * (self.matrix @ point) * self.weights).sum() / 2

    def minimiser(self) -> Float[Tensor, "n p"]:
        return self.vectors[:, : self.p]
