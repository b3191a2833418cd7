"""Classification: a vision transformer learns from labels and from a convolutional teacher's features."""

import math
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from distill import budget, data, models
from distill.checkpoint import load_weights
from distill.config import Config, Student, Teacher
from distill.data.images import Batches, Images
from distill.distillation import FeatureDistillation
from distill.errors import RecipeError
from distill.loop import Schedule, fit
from distill.models import Backbone
from distill.projector import Projector
from distill.run_folder import RunFolder, is_finished
from distill.task import Task, seeded

# Images in one forward pass of an evaluation; it bounds memory and changes no result.
_EVALUATION_BATCH = 512


class TeacherTraining(Task):
    """The teacher's own supervised run, on every training image."""

    metric = "accuracy"

    def __init__(self, config: Config):
        train, self.test = (images.to(config.device) for images in data.load(config.data))
        self.batches = Batches(train, config.data.batch_size, config.data.shift, config.teacher.seed)
        with seeded(config.teacher.seed):
            weights = "" if config.teacher.weights == "train" else config.teacher.weights
            self.supervised = Supervised(_build(config.teacher, train, weights)).to(config.device)
        self.module = self.supervised

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.batches[step]

    def evaluate(self) -> dict[str, float]:
        if self.supervised.classifier.classes != self.test.classes:  # features to learn from, but no answers
            return {"accuracy": math.nan, "test_loss": math.nan}
        return _evaluate(self.supervised, self.test)


class Classification(Task):
    """The student's run. With alpha = gamma = 0 no teacher is run: the baseline is the labels alone."""

    metric = "accuracy"

    def __init__(self, config: Config, teacher: Backbone):
        train, self.test = (images.to(config.device) for images in data.load(config.data))
        if config.gamma > 0 and teacher.classes != train.classes:
            raise RecipeError("gamma", f"0, as the teacher knows {teacher.classes} other classes", config.gamma)
        labelled = train.few(config.data.labels_per_class, seed=config.seed)
        self.labelled = Batches(labelled, config.data.batch_size, config.data.shift, config.seed)
        # Where nothing is distilled, images without labels teach nothing and aren't paid for.
        count = config.data.unlabelled if config.alpha > 0 or config.gamma > 0 else 0
        self.unlabelled = Batches(train, count, config.data.shift, config.seed) if count else None
        with seeded(config.seed):
            student = _build(config.student, train, config.student.weights)
        # A stream of its own: whatever the projector draws, every method's student starts from the same weights.
        with seeded(config.seed + 1):
            distillation = _distillation(config, student.feature_dim, teacher.feature_dim)
        self.distilled = Distilled(student, teacher, distillation, alpha=config.alpha, gamma=config.gamma)
        self.module = self.distilled.to(config.device)

    @property
    def student(self) -> Backbone:
        """What is exported: the student without projector."""
        return self.distilled.student

    @property
    def steps_per_epoch(self) -> int:
        return self.labelled.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        batch = self.labelled[step]
        return batch if self.unlabelled is None else {**batch, "unlabelled": self.unlabelled[step]["pixels"]}

    def evaluate(self) -> dict[str, float]:
        figures = _evaluate(self.distilled, self.test)
        distillation = self.distilled.distillation
        if distillation is not None and isinstance(distillation.projector, Projector):
            figures["defect"] = distillation.projector.defect()
        return figures

    @classmethod
    def prepare(cls, config: Config, teacher_folder: Path) -> "Classification":
        """Return the task, with the teacher of `teacher_folder` trained there first if it isn't yet.

        Raises: RunFolderError if the folder holds a teacher of another recipe.
        """
        return cls(config, _trained_teacher(config, teacher_folder))

    @classmethod
    def untaught(cls, config: Config) -> "Classification":
        """Return the task with a teacher that knows nothing: enough to check a recipe, or to evaluate a student."""
        return cls(config, _build(config.teacher, data.load(config.data)[0], ""))


class Supervised(nn.Module):
    """A classifier and its cross-entropy."""

    def __init__(self, classifier: Backbone):
        super().__init__()
        self.classifier = classifier

    def logits(self, pixels: Tensor) -> Tensor:
        return self.classifier(pixels).logits

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(self.logits(batch["pixels"]), batch["labels"])}


class Distilled(nn.Module):
    """Student, frozen teacher, projector and loss behind one forward.

    loss = cross-entropy(class head) + gamma·KL(teacher ‖ distillation head) + alpha·feature loss; the first over
    the labelled images, the others over all.
    """

    def __init__(
        self,
        student: Backbone,
        teacher: Backbone,
        distillation: FeatureDistillation | None,
        *,
        alpha: float,
        gamma: float,
    ):
        super().__init__()
        self.student, self.distillation, self.alpha, self.gamma = student, distillation, alpha, gamma
        # In a tuple it isn't a submodule: checkpoints don't hold the frozen teacher, optimisers don't see it.
        self._teacher = (teacher.eval().requires_grad_(False),)

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits that are evaluated: both heads' mean where the distillation head was trained."""
        output = self.student(pixels)
        return (output.logits + output.distillation_logits) / 2 if self.gamma > 0 else output.logits

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        pixels = torch.cat([batch["pixels"], batch["unlabelled"]]) if "unlabelled" in batch else batch["pixels"]
        output = self.student(pixels)
        logits = output.logits[: len(batch["labels"])]
        parts = {"label_loss": functional.cross_entropy(logits, batch["labels"])}
        loss = parts["label_loss"]
        if self.gamma > 0 or self.distillation is not None:
            with torch.no_grad():
                taught = self._teacher[0](pixels)
            if self.gamma > 0:
                log_probabilities = output.distillation_logits.log_softmax(-1)
                parts["soft_label_loss"] = functional.kl_div(
                    log_probabilities, taught.logits.softmax(-1), reduction="batchmean"
                )
                loss = loss + self.gamma * parts["soft_label_loss"]
            if self.distillation is not None:
                parts["feature_loss"] = self.distillation(output.feature, taught.feature)
                loss = loss + self.alpha * parts["feature_loss"]
        return {"loss": loss, **parts}


def _build(model: Teacher | Student, images: Images, weights: str) -> Backbone:
    channels, image_size = images.pixels.shape[1:3]
    return models.build(
        model.name,
        classes=images.classes,
        image_size=image_size,
        channels=channels,
        weights=weights,
        shape=model.shape,
        keep_head=isinstance(model, Teacher),
    )


def _distillation(config: Config, student_dim: int, teacher_dim: int) -> FeatureDistillation | None:
    if config.alpha == 0:
        return None
    return FeatureDistillation(
        student_dim,
        teacher_dim,
        projector=config.projector,
        by=config.parameterisation,
        normalise=config.normalise,
        loss=config.loss,
    )


def _trained_teacher(config: Config, folder: Path) -> Backbone:
    task = TeacherTraining(config)
    # What the teacher depends on; the student's label budget isn't part of it.
    recipe = {"data": asdict(config.data), "teacher": asdict(config.teacher), "device": config.device}
    del recipe["data"]["labels_per_class"], recipe["data"]["unlabelled"]
    run = RunFolder(folder, yaml.safe_dump(recipe, sort_keys=False))
    is_trained_here = config.teacher.weights == "train"
    if is_finished(folder):
        run.check_same_config()
    elif is_trained_here:
        steps = budget.parse(config.teacher.budget).steps(task.steps_per_epoch)
        run.open(resume=True)
        fit(task, Schedule(steps, config.teacher.optimiser), run)
    else:
        run.open(resume=True)
        run.finish({"steps": 0, "metric": task.metric, **task.evaluate()})
    if is_trained_here:
        load_weights(task.module, folder)
    return task.supervised.classifier


@torch.no_grad()
def _evaluate(module: Supervised | Distilled, images: Images) -> dict[str, float]:
    was_training = module.training
    module.eval()
    logits = torch.cat([module.logits(pixels) for pixels in images.pixels.split(_EVALUATION_BATCH)])
    module.train(was_training)
    correct = (logits.argmax(-1) == images.labels).float().mean()
    return {"accuracy": float(correct), "test_loss": float(functional.cross_entropy(logits, images.labels))}
