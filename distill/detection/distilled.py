"""Student, frozen teacher, losses and what is learned from the teacher behind one forward: what a run trains."""

from typing import cast

import torch
from torch import Tensor, nn

from distill.detection.criterion import criterion
from distill.detection.models import Detector


class Supervised(nn.Module):
    """loss = ViDT's, over all predictions: a teacher's own training, and a student's without distillation."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.detector(batch["pixels"], batch["padding"])
        losses = criterion(found, batch["labels"], batch["boxes"], batch["objects"].sum())
        return {"loss": losses.total, **losses.named}


class Distilled(nn.Module):
    """loss = ViDT's + alpha · what the teacher's tokens cost. Checkpoints hold nothing of the teacher."""

    def __init__(self, student: Detector, teacher: Detector, distillation: nn.Module, alpha: float):
        super().__init__()
        self.detector, self.distillation, self.alpha = student, distillation, alpha
        teacher.eval().requires_grad_(False)
        # In a tuple it isn't a submodule: checkpoints don't hold it, `train` doesn't reach it.
        self._teacher = (teacher,)

    @property
    def teacher(self) -> Detector:
        """The frozen teacher."""
        return self._teacher[0]

    def train(self, mode: bool = True) -> "Distilled":
        """Switch to training or evaluation; the teacher is always in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        pixels, padding = batch["pixels"], batch["padding"]
        found = self.detector(pixels, padding)
        losses = criterion(found, batch["labels"], batch["boxes"], batch["objects"].sum())
        with torch.no_grad():
            taught = self.teacher(pixels, padding)
        distilled = cast(Tensor, self.distillation(found, taught))
        return {"loss": losses.total + self.alpha * distilled, **losses.named, "teacher_loss": distilled}
