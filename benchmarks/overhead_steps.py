"""The parts of a training step of VkD that `benchmarks.overhead` times, for each task."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import stiefel
from benchmarks.measure import Step
from distill import models
from distill.detection import models as detectors
from distill.detection.distillation import KINDS, kinds
from distill.detection.distilled import Supervised
from distill.projector import Projector, Projectors, Separate
from distill.task import seeded

STUDENT, TEACHER = "student (forward, backward, AdamW)", "teacher (forward)"
TORCH = "torch orthogonal (default map)"
PLAIN = "linear, unconstrained"

Steps = dict[str, Step]
_DEFAULTS: dict[str, dict[str, Any]] = {
    "classification": {"student": "deit_ti", "teacher": "timm:regnety_160", "batch": 8, "image_size": 224},
    "detection": {"student": "vidt_nano", "teacher": "vidt_base", "batch": 2, "image_size": 512},
}
TASKS = tuple(_DEFAULTS)
_OBJECTS = 7  # an image, as COCO's has on average


def build(task: str, *, names: Sequence[str], device: str, **wanted: Any) -> tuple[Steps, dict[str, Any]]:
    """Return the steps by name, and the settings: `wanted`, with the task's defaults where it has None.

    Everything is seeded and random: images, weights, labels. A step's time doesn't depend on them.
    """
    settings = _DEFAULTS[task] | {key: value for key, value in wanted.items() if value is not None}
    with seeded(0):
        steps, features, teacher_dim = _TASKS[task](device=device, **settings)
        for name, projectors in _projectors(names, len(features), features[0].shape[-1], teacher_dim).items():
            steps[name] = _projections(projectors.to(device), features)
    return steps, {"task": task, **settings}


def _classification(
    *, student: str, teacher: str, batch: int, image_size: int, device: str
) -> tuple[Steps, list[Tensor], int]:
    """Return a student's and a teacher's step, the student's features as they are projected, the teacher's width."""
    learner, taught = (
        models.build(name, classes=1000, image_size=image_size, channels=3).to(device) for name in (student, teacher)
    )
    pixels = torch.randn(batch, 3, image_size, image_size).to(device)
    labels = torch.zeros(batch, dtype=torch.long, device=device)

    def loss() -> Tensor:
        output = learner(pixels)
        return functional.cross_entropy(output.logits, labels) + output.feature.mean()

    steps = {STUDENT: _training(learner, loss), TEACHER: _frozen(taught, pixels)}
    return steps, [torch.randn(batch, learner.feature_dim, device=device)], taught.feature_dim


def _detection(
    *, student: str, teacher: str, batch: int, image_size: int, device: str
) -> tuple[Steps, list[Tensor], int]:
    """As `_classification`; the features are the six kinds of token."""
    learner, taught = (detectors.build(name, classes=91).to(device) for name in (student, teacher))
    pixels = torch.randn(batch, 3, image_size, image_size).to(device)
    padding = torch.zeros(batch, image_size, image_size, dtype=torch.bool, device=device)
    boxes = torch.rand(batch, _OBJECTS, 4).mul_(0.5).add_(0.1).to(device)
    labels = torch.randint(91, (batch, _OBJECTS)).to(device)
    objects = torch.full((batch,), float(_OBJECTS), device=device)
    content = {"pixels": pixels, "padding": padding, "boxes": boxes, "labels": labels, "objects": objects}
    supervised = Supervised(learner)
    steps = {
        STUDENT: _training(learner, lambda: supervised(content)["loss"]),
        TEACHER: _frozen(taught, pixels, padding),
    }
    with torch.no_grad():
        tokens = [torch.randn_like(each) for each, _ in kinds(learner(pixels, padding))]
    assert len(tokens) == len(KINDS)
    return steps, tokens, taught.token_dim


_TASKS: dict[str, Callable[..., tuple[Steps, list[Tensor], int]]] = {
    "classification": _classification,
    "detection": _detection,
}


def _projectors(names: Sequence[str], count: int, student_dim: int, teacher_dim: int) -> dict[str, nn.Module]:
    def plain() -> nn.Linear:
        return nn.Linear(student_dim, teacher_dim, bias=False)

    def orthogonal(by: str) -> nn.Module:
        if count == 1:
            return Separate([Projector(student_dim, teacher_dim, by=by)])
        return Projectors(count, student_dim, teacher_dim, by=by)

    ours = {name: orthogonal(name) for name in names}
    torchs = Separate(parametrizations.orthogonal(plain()) for _ in range(count))
    return {PLAIN: Separate(plain() for _ in range(count)), **ours, TORCH: torchs}


def _training(student: nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimiser = stiefel.optim.build(student, "adamw", lr=1e-4, weight_decay=0.05)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def _frozen(teacher: nn.Module, *inputs: Tensor) -> Step:
    teacher.eval()

    def step() -> None:
        with torch.no_grad():
            teacher(*inputs)

    return step


def _projections(projectors: nn.Module, features: list[Tensor]) -> Step:
    trained = [parameter for parameter in projectors.parameters() if parameter.requires_grad]
    inputs = [each.requires_grad_() for each in features]

    def step() -> None:
        total = torch.stack([each.sum() for each in projectors(inputs)]).sum()
        torch.autograd.grad(total, [*inputs, *trained], allow_unused=True)

    return step
