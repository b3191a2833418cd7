"""Cayley's and the polar map as two p × p functions: what mutants of that p × p work are made from.

The registered classes compute the same points with derivatives written by hand, which a change to a coefficient
would pass by.
"""

import torch
from torch import Tensor

from stiefel import CompactTrivialisation
from stiefel.parameterisations.cayley import Cayley
from stiefel.parameterisations.polar import Polar
from stiefel.roots import inverse_sqrt


class CompactCayley(CompactTrivialisation, Cayley):
    """α = 2Z − I, β = Z with Z = (I − A/2 + S/4)⁻¹."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        inverse = torch.linalg.inv(eye - rotation / 2 + gram / 4)
        return 2 * inverse - eye, inverse


class CompactPolar(CompactTrivialisation, Polar):
    """α = (I + A)·Z, β = Z with Z = (I − A² + S)^{-1/2}."""

    def coefficients(self, rotation: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        root = inverse_sqrt(eye - rotation @ rotation + gram)
        return root + rotation @ root, root
