"""The student has DeiT's shape, the teacher a pooled feature."""

import pytest
import torch
from torch import Tensor

from distill.config import ClassificationConfig
from distill.distilled import Distilled
from distill.errors import RecipeError
from distill.models import ConvNet, DeiT


def deit(**changes: int) -> DeiT:
    shape = {"image_size": 8, "channels": 1, "classes": 10, "width": 16, "depth": 2, "heads": 4, "patch": 2}
    return DeiT(**(shape | changes))


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_student_answers_with_two_heads_and_a_feature(pixels: Tensor) -> None:
    student = deit()
    output = student(pixels)
    assert output.logits.shape == output.distillation_logits.shape == (3, 10)
    assert output.feature.shape == (3, student.feature_dim)
    assert student.position.shape == (16 + 2, 16)


def test_the_feature_is_the_mean_patch_token_after_the_last_norm(pixels: Tensor) -> None:
    student, seen = deit(), []
    student.norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    feature = student(pixels).feature
    expected = seen[0][:, 2:].mean(1)
    assert (feature - expected).abs().max() <= 16 * torch.finfo(feature.dtype).eps * expected.abs().max()


def test_each_head_reads_its_own_token(pixels: Tensor) -> None:
    student = deit()
    output = student(pixels)
    (slope,) = torch.autograd.grad(output.distillation_logits.sum(), student.head.weight, allow_unused=True)
    assert slope is None
    (slope,) = torch.autograd.grad(student(pixels).logits.sum(), student.distillation_head.weight, allow_unused=True)
    assert slope is None


def test_attention_is_the_textbook_formula(pixels: Tensor) -> None:
    block = deit().blocks[0]
    tokens = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    query, key, value = block.query_key_value(tokens).chunk(3, -1)
    heads = []
    for head in range(4):
        columns = slice(4 * head, 4 * head + 4)
        weights = (query[..., columns] @ key[..., columns].mT / 2).softmax(-1)  # the root of a head's width 4 is 2
        heads.append(weights @ value[..., columns])
    expected = block.output(torch.cat(heads, -1))
    eps = torch.finfo(tokens.dtype).eps
    assert (block._attention(tokens) - expected).abs().max() <= 16 * eps * expected.abs().max()


def test_a_patch_that_does_not_tile_the_image_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"student\.patch.*a divisor of the images' size 8, got 3"):
        deit(patch=3)


def test_the_teacher_classifies_its_pooled_feature(pixels: Tensor) -> None:
    teacher = ConvNet(image_size=8, channels=1, classes=10, width=4).eval()
    output = teacher(pixels)
    assert output.feature.shape == (3, teacher.feature_dim)
    assert torch.equal(output.logits, teacher.classify(output.feature))


def test_both_heads_are_averaged_where_the_second_was_trained(pixels: Tensor) -> None:
    student, teacher = deit(), ConvNet(image_size=8, channels=1, classes=10, width=4)
    output = student(pixels)
    assert torch.equal(Distilled(ClassificationConfig(gamma=0), student, teacher, []).logits(pixels), output.logits)
    mean = (output.logits + output.distillation_logits) / 2
    assert torch.equal(Distilled(ClassificationConfig(gamma=1), student, teacher, []).logits(pixels), mean)


def test_the_teacher_is_frozen_and_no_part_of_what_is_trained() -> None:
    teacher = ConvNet(image_size=8, channels=1, classes=10, width=4)
    module = Distilled(ClassificationConfig(gamma=1), deit(), teacher, [])
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    module.train()
    assert not teacher.training
    ours = {id(parameter) for parameter in module.parameters()}
    assert not any(id(parameter) in ours for parameter in teacher.parameters())
