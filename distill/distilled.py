"""Student, frozen teacher, projectors and losses behind one forward: what a distillation run trains."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill import layers
from distill.config import ClassificationConfig
from distill.distillation import FeatureDistillation
from distill.models import Backbone, Output


class Distilled(nn.Module):
    """loss = label_weight·CE(class head) + alpha·feature loss + gamma·loss with the teacher's labels.

    The first is over the labelled images, the others over all. The teacher's labels teach the distillation head, or
    the class head of a student that has no other: soft ones by T²·KL(teacher ‖ student) at temperature T, hard ones
    by the cross-entropy with the teacher's decision. With `head: teacher` the class head is the teacher's own, on
    projected features (SimKD), and checkpoints hold the teacher; otherwise they hold nothing of it.
    Source: Miles et al., CVPR 2024; Touvron et al., ICML 2021; Hinton et al. 2015 (the factor T²); Chen et al.,
    "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022.
    """

    def __init__(
        self,
        config: ClassificationConfig,
        student: Backbone,
        teacher: Backbone,
        distillations: Sequence[FeatureDistillation],
    ):
        super().__init__()
        self.config, self.student = config, student
        self.pairs = layers.parse(config.layers)
        self.distillations = nn.ModuleList(distillations)
        teacher.eval().requires_grad_(False)
        # In a tuple it isn't a submodule: checkpoints don't hold it, `train` doesn't reach it.
        self._teacher = (teacher,)
        self.reused = teacher if config.head == "teacher" and distillations else None

    def train(self, mode: bool = True) -> "Distilled":
        """Switch to training or evaluation; the teacher is always in evaluation."""
        super().train(mode)
        self._teacher[0].eval()
        return self

    @property
    def teacher(self) -> Backbone:
        """The frozen teacher."""
        return self._teacher[0]

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits that are evaluated: both heads' mean where the distillation head was trained."""
        output = self.student(pixels)
        if self.reused is not None:
            only = cast(FeatureDistillation, self.distillations[0])
            return self.reused.classify(only.projector(output.feature))
        second = output.distillation_logits
        return (output.logits + second) / 2 if self.config.gamma > 0 and second is not None else output.logits

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        config = self.config
        pixels = torch.cat([batch["pixels"], batch["unlabelled"]]) if "unlabelled" in batch else batch["pixels"]
        output, maps = layers.run(self.student, pixels, [pair.student for pair in self.pairs])
        parts = {"label_loss": functional.cross_entropy(output.logits[: len(batch["labels"])], batch["labels"])}
        loss = config.label_weight * parts["label_loss"]
        if config.gamma > 0 or self.distillations:
            taught, targets = self._answers(batch, pixels)
            if config.gamma > 0:
                parts["teacher_label_loss"] = self._teacher_label_loss(output, taught)
                loss = loss + config.gamma * parts["teacher_label_loss"]
            if self.distillations:
                parts["feature_loss"] = self._feature_loss(maps, targets)
                loss = loss + config.alpha * parts["feature_loss"]
        return {"loss": loss, **parts}

    @torch.no_grad()
    def _answers(self, batch: dict[str, Tensor], pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the teacher's logits and maps, out of the batch where it brings them along."""
        if "labelled.logits" not in batch:
            taught, targets = layers.run(self._teacher[0], pixels, [pair.teacher for pair in self.pairs])
            return taught.logits, targets
        streams = [stream for stream in ("labelled", "unlabelled") if f"{stream}.logits" in batch]
        names = ["logits", *(f"feature.{number}" for number in range(len(self.pairs)))]
        logits, *targets = (torch.cat([batch[f"{stream}.{name}"] for stream in streams]) for name in names)
        return logits, targets

    def _feature_loss(self, maps: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        losses = [
            distillation(*paired(student, teacher, tokens=self.config.tokens))
            for distillation, student, teacher in zip(self.distillations, maps, targets, strict=True)
        ]
        return torch.stack(losses).mean()

    def _teacher_label_loss(self, output: Output, taught: Tensor) -> Tensor:
        logits = output.logits if output.distillation_logits is None else output.distillation_logits
        if self.config.teacher_labels == "hard":
            return functional.cross_entropy(logits, taught.argmax(-1))
        soft, log = (taught / self.config.temperature).softmax(-1), (logits / self.config.temperature).log_softmax(-1)
        return self.config.temperature**2 * functional.kl_div(log, soft, reduction="batchmean")


def paired(
    student: Float[Tensor, "batch dim h w"], teacher: Float[Tensor, "batch wide height width"], *, tokens: str
) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows wide"]]:
    """Return features that belong together, a row each: pooled over places, or dense, every place of its own.

    Dense maps of two sizes are averaged down to the coarser grid: no value is invented.
    """
    if tokens == "pooled":
        return student.mean((-2, -1)), teacher.mean((-2, -1))
    grid = (min(student.shape[-2], teacher.shape[-2]), min(student.shape[-1], teacher.shape[-1]))
    return _rows(student, grid), _rows(teacher, grid)


def _rows(features: Tensor, grid: tuple[int, int]) -> Tensor:
    return functional.adaptive_avg_pool2d(features, grid).permute(0, 2, 3, 1).flatten(0, 2)
