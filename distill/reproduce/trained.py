"""A finished run's models, and a fixed sample of the test images to look at them with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.checkpoint import load_weights
from distill.config import ClassificationConfig
from distill.data import Source
from distill.distillation import FeatureDistillation
from distill.distilled import Distilled, paired
from distill.models import Backbone
from distill.processes import Processes
from distill.tasks.classification import Classification
from distill.teacher import taught_by

# Images in one forward pass: the attention of a DeiT-S at 224 px is 1.4 GB for them; no result depends on it.
_PART = 128


@dataclass(frozen=True)
class Trained:
    """A student with its teacher, its distillation and the test images, all in evaluation mode on one device."""

    config: ClassificationConfig
    distilled: Distilled
    test: Source

    @property
    def student(self) -> Backbone:
        """The student."""
        return self.distilled.student

    @property
    def teacher(self) -> Backbone:
        """The frozen teacher."""
        return self.distilled.teacher

    @property
    def distillation(self) -> FeatureDistillation:
        """The projector with its loss; only a run with feature distillation has one."""
        assert self.distilled.distillations, "an experiment asks this of distilled runs alone"
        return cast(FeatureDistillation, self.distilled.distillations[-1])

    def sample(self, most: int) -> tuple[Float[Tensor, "n c h w"], Int[Tensor, "n"]]:
        """Return up to `most` test images with their labels, evenly spread over the test set: the same each time."""
        count = min(most, len(self.test))
        index = torch.linspace(0, len(self.test) - 1, count).long()
        (batch,) = self.test.subset(index).evaluation(count)
        return batch["pixels"], batch["labels"]

    def features(self, pixels: Tensor) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows wide"]]:
        """Return the student's and the teacher's features as they are distilled, pooled or dense."""
        return paired(*self.maps(pixels), tokens=self.config.tokens)

    def maps(self, pixels: Tensor) -> tuple[Float[Tensor, "n dim h w"], Float[Tensor, "n wide height width"]]:
        """Return the student's and the teacher's last features by place."""
        student = in_parts(lambda part: self.student(part).map, pixels)
        return student, in_parts(lambda part: self.teacher(part).map, pixels)

    def feature_loss(self, pixels: Tensor) -> float:
        """Return the feature loss of a batch."""
        return float(self.distillation(*self.features(pixels)))


def in_parts(function: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Return what a function gives for each image, as many images at a time as fit in memory."""
    return torch.cat([function(part) for part in pixels.split(_PART)])


def load(config: ClassificationConfig, folder: Path, teacher_folder: Path) -> Trained:
    """Return the models of a finished run.

    Raises: CheckpointError, RunFolderError.
    """
    alone = Processes(device=config.device, is_alone=True)
    # Also a run that learned nothing from the teacher is looked at beside it.
    prepared = Classification(config, taught_by(config, teacher_folder, alone), alone)
    load_weights(prepared.module, folder)
    return Trained(config, prepared.distilled.eval(), prepared.test)
