"""Projectors from student to teacher features: orthogonal (VkD), linear, MLP, ensemble.

projector = Projector(192, 3024, by="cayley")
projected = projector(student_features)
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

import stiefel
from distill.errors import WidthError
from stiefel.errors import UnknownNameError


class Projector(nn.Module):
    """VkD's projector z ↦ z·P, P of shape (student_dim, teacher_dim) kept orthonormal by any parameterisation.

    Two cases, told apart by `is_isometry` and said in words by `statement`. With student_dim <= teacher_dim,
    P·Pᵀ = I: every inner product of student features is kept. With student_dim > teacher_dim only Pᵀ·P = I is
    possible: inner products are kept on P's row space, and the map contracts elsewhere.

    Cost: one product of the batch, and the parameterisation's own cost once a forward pass.
    Raises: WidthError, and what `stiefel.attach` raises.
    Source: Miles et al., "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024.
    """

    def __init__(self, student_dim: int, teacher_dim: int, *, by: str = "cayley"):
        super().__init__()
        _check_widths(student_dim, teacher_dim)
        self.student_dim, self.teacher_dim, self.by = student_dim, teacher_dim, by
        self.linear = stiefel.attach(nn.Linear(student_dim, teacher_dim, bias=False), "weight", by=by)

    @property
    def matrix(self) -> Float[Tensor, "student teacher"]:
        """P, computed anew at each read."""
        return self.linear.weight.T

    @property
    def is_isometry(self) -> bool:
        """Whether every inner product of student features is kept."""
        return self.student_dim <= self.teacher_dim

    @property
    def statement(self) -> str:
        """One sentence that says what this projector keeps."""
        shape = f"P is {self.student_dim} x {self.teacher_dim}"
        if self.is_isometry:
            return f"{shape}, P Pᵀ = I: all inner products of student features are kept"
        return (
            f"{shape}, only Pᵀ P = I is possible: inner products are kept on the {self.teacher_dim}-dimensional "
            "row space, and features shrink outside it"
        )

    @torch.no_grad()
    def defect(self) -> float:
        """Return ‖P·Pᵀ − I‖_F (‖Pᵀ·P − I‖_F if student_dim > teacher_dim), computed in float64."""
        tall = (self.linear.weight if self.is_isometry else self.matrix).double()
        return float(torch.linalg.matrix_norm(tall.T @ tall - torch.eye(tall.shape[1], dtype=tall.dtype).to(tall)))

    def forward(self, features: Float[Tensor, "*b student"]) -> Float[Tensor, "*b teacher"]:
        return self.linear(features)

    def extra_repr(self) -> str:
        return f"by={self.by!r}, {self.statement}"


def linear(student_dim: int, teacher_dim: int) -> nn.Module:
    """Return an unconstrained linear projector with bias."""
    _check_widths(student_dim, teacher_dim)
    return nn.Linear(student_dim, teacher_dim)


def mlp(student_dim: int, teacher_dim: int) -> nn.Module:
    """Return VkD's MLP baseline: three linear layers, the teacher's width inside, batch norm and ReLU between."""
    _check_widths(student_dim, teacher_dim)
    return nn.Sequential(
        nn.Linear(student_dim, teacher_dim, bias=False),
        nn.BatchNorm1d(teacher_dim),
        nn.ReLU(),
        nn.Linear(teacher_dim, teacher_dim, bias=False),
        nn.BatchNorm1d(teacher_dim),
        nn.ReLU(),
        nn.Linear(teacher_dim, teacher_dim),
    )


class Ensemble(nn.Module):
    """The mean of several independently initialised one-layer projectors, each linear then ReLU.

    Source: Chen et al., "Improved Feature Distillation via Projector Ensemble", NeurIPS 2022 (three projectors).
    """

    def __init__(self, student_dim: int, teacher_dim: int, *, members: int = 3):
        super().__init__()
        _check_widths(student_dim, teacher_dim)
        self.members = nn.ModuleList(nn.Linear(student_dim, teacher_dim) for _ in range(members))

    def forward(self, features: Float[Tensor, "*b student"]) -> Float[Tensor, "*b teacher"]:
        return torch.stack([member(features).relu() for member in self.members]).mean(0)


PROJECTORS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "ensemble": Ensemble,
}
"""Projectors without a parameterisation; `orthogonal` is `Projector`."""


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted([*PROJECTORS, "orthogonal"])


def build(name: str, student_dim: int, teacher_dim: int, *, by: str = "cayley") -> nn.Module:
    """Return the projector called `name`; `by` is the parameterisation of the orthogonal one.

    Raises: UnknownNameError with the valid names.
    """
    if name == "orthogonal":
        return Projector(student_dim, teacher_dim, by=by)
    if name not in PROJECTORS:
        raise UnknownNameError("projector", name, names())
    return PROJECTORS[name](student_dim, teacher_dim)


def _check_widths(student_dim: int, teacher_dim: int) -> None:
    if min(student_dim, teacher_dim) < 1:
        raise WidthError("projector", "student_dim and teacher_dim >= 1", (student_dim, teacher_dim))
