"""VkD's six losses and ViDT's token matching are what their sources say, padding left out."""

from dataclasses import replace

import pytest
import torch
from tiny_detectors import detector, found, images
from torch import Tensor
from torch.nn import functional

import stiefel
from distill.detection.distillation import KINDS, Projected, TokenMatching, check_pair, kinds, standardise
from distill.detection.models import Detections
from distill.errors import WidthError
from distill.projector import Projectors
from distill.task import seeded

EPS = torch.finfo(torch.float32).eps


def projected(width: int = 16, teacher_width: int = 16, *, projector: str = "orthogonal", by: str = "cayley", **more):
    is_affine = bool(more.get("is_affine"))
    with seeded(1):
        return Projected(
            detector(width), detector(teacher_width, seed=1), projector=projector, by=by, is_affine=is_affine
        )


def outputs(width: int = 16, teacher_width: int = 16) -> tuple[Detections, Detections]:
    with torch.no_grad():
        return found(detector(width), images()), found(detector(teacher_width, seed=1), images())


def inside(level: Tensor, padding: Tensor) -> Tensor:
    """Return the tokens of a level that lie inside an image, found one by one."""
    rows = [
        level[image, :, row, column]
        for image in range(level.shape[0])
        for row in range(level.shape[2])
        for column in range(level.shape[3])
        if not padding[image, row, column]
    ]
    return torch.stack(rows)


@torch.no_grad()
def by_hand(loss: Projected, student: Detections, teacher: Detections) -> float:
    """Return VkD's loss from the tokens inside alone, by torch's own standard deviation."""
    total = 0.0
    own = [inside(*each) for each in zip(student.levels, student.level_padding, strict=True)]
    wanted = [inside(*each) for each in zip(teacher.levels, teacher.level_padding, strict=True)]
    own += [student.body_tokens.flatten(0, 1), student.neck_tokens.flatten(0, 2)]
    wanted += [teacher.body_tokens.flatten(0, 1), teacher.neck_tokens.flatten(0, 2)]
    for one, other in zip(loss.projectors(own), wanted, strict=True):
        values = []
        for tokens in (one, other):
            variance = tokens.var(0) if len(tokens) > 1 else torch.zeros(tokens.shape[1])
            values.append((tokens - tokens.mean(0)) / (variance + 1e-5).sqrt())
        total += float(functional.smooth_l1_loss(*values))
    return total


@pytest.mark.parametrize("widths", [(16, 16), (8, 16), (16, 8)], ids=str)
def test_the_projected_loss_is_the_sum_of_six_means_over_tokens_inside(widths: tuple[int, int]) -> None:
    loss = projected(*widths)
    with torch.no_grad():
        value = float(loss(*outputs(*widths)))
    # Hundreds of tokens standardised in float32, of which levels of few tokens are all noise.
    assert value == pytest.approx(by_hand(loss, *outputs(*widths)), rel=1e4 * EPS)


@pytest.mark.parametrize("by", ["cayley", "householder", "polar"])
def test_every_map_projects_and_stays_orthonormal_through_training(by: str) -> None:
    loss = projected(8, 16, by=by)
    student, teacher = outputs(8, 16)
    optimiser = stiefel.optim.build(loss, "adamw", lr=1e-2, weight_decay=0.05)
    before = loss(student, teacher).item()
    for _ in range(10):
        optimiser.zero_grad()
        loss(student, teacher).backward()
        optimiser.step()
    assert loss(student, teacher).item() < before
    assert isinstance(loss.projectors, Projectors)
    # n·eps of 16 × 8 matrices with some leeway for a map's own claim.
    assert loss.projectors.defect() <= 64 * 16 * EPS


def test_values_in_the_padding_change_no_loss() -> None:
    student, teacher = outputs()
    for loss in (projected(), TokenMatching(detector(), detector(seed=1))):
        before = loss(student, teacher)
        wild = [
            torch.where(padding[:, None], 1e3 * torch.randn(level.shape), level)
            for level, padding in zip(student.levels, student.level_padding, strict=True)
        ]
        assert any(padding.any() for padding in student.level_padding)
        assert torch.equal(loss(replace(student, levels=wild), teacher), before)


def test_token_matching_is_the_root_of_the_sum_of_mean_distances() -> None:
    student, teacher = outputs()
    total = 0.0
    for place, padding in enumerate(student.level_padding):
        one, other = (inside(each.levels[place], padding) for each in (student, teacher))
        total += float((one - other).square().sum(1).sqrt().mean())
    total += float((student.body_tokens - teacher.body_tokens).square().sum(-1).sqrt().mean())
    layers = len(student.neck_tokens)
    total += layers * float((student.neck_tokens - teacher.neck_tokens).square().sum(-1).sqrt().mean())
    value = float(TokenMatching(detector(), detector(seed=1))(student, teacher))
    assert value == pytest.approx(total**0.5, rel=100 * EPS)


def test_a_student_of_the_teachers_own_tokens_has_no_loss_and_a_finite_gradient() -> None:
    student, _ = outputs()
    body = student.body_tokens.clone().requires_grad_()
    for level in range(4):
        student.levels[level] = student.levels[level].clone().requires_grad_()
    near = replace(student, body_tokens=body)
    loss = TokenMatching(detector(), detector())(near, replace(student, body_tokens=body.detach() + 0.1))
    loss.backward()
    assert body.grad is not None
    assert torch.isfinite(body.grad).all()
    for level in range(4):
        gradient = student.levels[level].grad
        assert gradient is None or torch.isfinite(gradient).all()


def test_a_scale_and_bias_before_the_standardisation_would_change_nothing() -> None:
    """Why ours follow it: what the released code learns there has no effect."""
    tokens, is_inside = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.ones(40) > 0
    scaled = standardise(tokens * torch.linspace(1, 3, 6) + 0.5, is_inside)
    # The eps of 1e-5 under the deviation weighs less the larger the scale.
    assert (scaled - standardise(tokens, is_inside)).abs().max() <= 1e-4


def test_the_affine_switch_starts_without_effect_and_learns() -> None:
    student, teacher = outputs()
    plain, affine = projected(), projected(is_affine=True)
    assert torch.equal(plain(student, teacher), affine(student, teacher))
    affine(student, teacher).backward()
    assert len(affine.affine()) == 2
    assert all(each.grad is not None and each.grad.any() for each in affine.affine())
    assert plain.affine() == []


def test_a_channel_that_is_constant_standardises_to_zero() -> None:
    tokens = torch.full((5, 2), 3.0)
    assert not standardise(tokens, torch.ones(5, dtype=torch.bool)).any()
    assert not standardise(tokens[:1], torch.ones(1, dtype=torch.bool)).any()


def test_what_cant_be_paired_is_one_sentence() -> None:
    with pytest.raises(WidthError, match="token matching: expected tokens as wide"):
        TokenMatching(detector(8), detector(16))
    with pytest.raises(WidthError, match="6 queries"):
        check_pair(detector(), detector(queries=6))
    with pytest.raises(WidthError, match="a place every 8 pixels"):
        check_pair(detector(patch=2), detector())


def test_the_teacher_gets_no_gradient_and_all_kinds_are_named() -> None:
    batch = images()
    student, teacher = found(detector(), batch), found(detector(seed=1), batch)
    assert len(kinds(student)) == len(KINDS)
    projected()(student, teacher).backward()
    assert all(each.grad is None for each in detector(seed=1).parameters())
    assert any(each.grad is not None for each in detector().parameters())
    detector().zero_grad()
