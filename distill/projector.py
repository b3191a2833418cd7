"""Projectors from student to teacher features: orthogonal (VkD), linear, MLP, ensemble.

projector = Projector(192, 3024, by="cayley")
projected = projector(student_features)
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

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
        return _defect(self.linear.weight)

    def forward(self, features: Float[Tensor, "*b student"]) -> Float[Tensor, "*b teacher"]:
        return self.linear(features)

    def extra_repr(self) -> str:
        return f"by={self.by!r}, {self.statement}"


class Projectors(nn.Module):
    """Several orthogonal projectors of the same widths, whose maps are computed as one batch.

    Each is what a `Projector` of its own would be. A map's small factorisations wait for one another, on a GPU above
    all: a batch of six waits once.
    Raises: WidthError, and what `stiefel.attach` raises.
    """

    def __init__(self, count: int, student_dim: int, teacher_dim: int, *, by: str = "cayley"):
        super().__init__()
        _check_widths(student_dim, teacher_dim)
        weight = torch.empty(count, teacher_dim, student_dim)
        for matrix in weight:
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))  # as torch's linear layers start
        self.weight = nn.Parameter(weight)
        stiefel.attach(self, "weight", by=by)

    @torch.no_grad()
    def defect(self) -> float:
        """Return the largest `Projector.defect` among them."""
        return _defect(self.weight)

    def forward(self, features: Sequence[Float[Tensor, "... student"]]) -> list[Float[Tensor, "... teacher"]]:
        """Return each projector's projection of its own features, in their order."""
        return [functional.linear(each, matrix) for each, matrix in zip(features, self.weight, strict=True)]


class Separate(nn.ModuleList):
    """Any projectors, called as `Projectors` are."""

    def forward(self, features: Sequence[Float[Tensor, "... student"]]) -> list[Float[Tensor, "... teacher"]]:
        """Return each projector's projection of its own features, in their order."""
        return [projector(each) for projector, each in zip(self, features, strict=True)]


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


def build_several(name: str, count: int, student_dim: int, teacher_dim: int, *, by: str = "cayley") -> nn.Module:
    """Return `count` projectors called `name` behind one call, from a list of features to the list of projections.

    Raises: UnknownNameError with the valid names.
    """
    if name == "orthogonal":
        return Projectors(count, student_dim, teacher_dim, by=by)
    return Separate(build(name, student_dim, teacher_dim) for _ in range(count))


def _defect(weight: Float[Tensor, "*b teacher student"]) -> float:
    """Return the largest ‖XᵀX − I‖_F of the tall X among a weight and its transpose, in float64."""
    tall = (weight if weight.shape[-2] >= weight.shape[-1] else weight.mT).double()
    eye = torch.eye(tall.shape[-1], dtype=tall.dtype, device=tall.device)
    return float(torch.linalg.matrix_norm(tall.mT @ tall - eye).max())


def _check_widths(student_dim: int, teacher_dim: int) -> None:
    if min(student_dim, teacher_dim) < 1:
        raise WidthError("projector", "student_dim and teacher_dim >= 1", (student_dim, teacher_dim))
