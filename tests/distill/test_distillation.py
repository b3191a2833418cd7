"""Losses, and the three lines of FeatureDistillation."""

import pytest
import torch
from torch import nn

import stiefel
from distill import FeatureDistillation, losses
from distill.errors import WidthError


@pytest.mark.parametrize("name", losses.names())
def test_every_loss_is_least_where_the_features_agree(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, other = torch.randn(2, 64, 8, generator=generator)
    loss = losses.build(name)
    assert loss(teacher, teacher) < loss(teacher + 0.1 * other, teacher) < loss(other, teacher)


def test_logsum_ignores_scale_and_offset_and_survives_a_constant_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 64, 8, generator=generator)
    loss = losses.build("logsum")
    # Shifting by 5 costs the student's float32 entries about three bits.
    assert torch.allclose(loss(3 * student + 5, teacher), loss(student, teacher), rtol=1e-5)
    student[:, 0] = 1.0
    assert loss(student.requires_grad_(), teacher).isfinite()


@pytest.mark.parametrize("projector", ["orthogonal", "linear", "mlp", "ensemble"])
@pytest.mark.parametrize("normalise", ["none", "standardise", "whiten"])
@pytest.mark.parametrize("loss", losses.names())
def test_every_combination_trains_the_student_and_never_the_teacher(projector: str, normalise: str, loss: str) -> None:
    student = torch.randn(16, 6, requires_grad=True)
    teacher = torch.randn(16, 10, requires_grad=True)
    FeatureDistillation(6, 10, projector=projector, normalise=normalise, loss=loss)(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.norm() > 0
    assert teacher.grad is None


def test_three_lines_in_anyones_loop_lower_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, teacher = torch.randn(64, 5, generator=generator), torch.randn(64, 12, generator=generator)
    student = nn.Linear(5, 6)
    distillation = FeatureDistillation(student_dim=6, teacher_dim=12)
    optimiser = stiefel.optim.build(nn.ModuleList([student, distillation]), lr=1e-2)
    start = distillation(student(inputs), teacher).item()
    for _ in range(30):
        optimiser.zero_grad()
        distillation(student(inputs), teacher).backward()
        optimiser.step()
    assert distillation(student(inputs), teacher).item() < start


def test_a_width_that_does_not_match_says_both() -> None:
    distillation = FeatureDistillation(6, 10)
    with pytest.raises(WidthError, match=r"expected student and teacher features of width 6 and 10, got \(7, 10\)"):
        distillation(torch.randn(4, 7), torch.randn(4, 10))
