"""Classification: a student learns from labels and from a teacher's features and labels."""

from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from torch import Tensor
from torch.nn import functional

from distill import budget, data
from distill.checkpoint import load_weights
from distill.config import Config, Scale
from distill.data import Batches, Source
from distill.distilled import Distilled
from distill.features import FeatureDistillation
from distill.loop import fit
from distill.models import Backbone, ConvNet, DeiT
from distill.processes import Processes
from distill.projector import Projector
from distill.run_folder import RunFolder, is_finished
from distill.schedule import Schedule
from distill.supervised import Supervised
from distill.task import Task, seeded

# Images in one forward pass of an evaluation; it bounds memory and changes no result.
_EVALUATION_BATCH = 512


class TeacherTraining(Task):
    """The teacher's own supervised run, on every training image."""

    metric = "accuracy"

    def __init__(self, config: Config, processes: Processes):
        train, self.test = (images.to(str(processes.device)) for images in data.load(config.data))
        self.processes = processes
        self.batches = train.batches(config.data.batch_size, config.teacher.seed, config.data)
        with seeded(config.teacher.seed):
            self.classifier = build_teacher(config, train)
        self.supervised = Supervised(self.classifier).to(processes.device)
        self.module, self.kept = self.supervised, self.classifier

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.batches[step]

    def indices(self, step: int) -> list[int]:
        return self.batches.indices(step)

    def evaluate(self) -> dict[str, float]:
        return evaluate(self.supervised, self.test, self.processes)


class Classification(Task):
    """The student's run. With alpha = gamma = 0 no teacher is run: the baseline is the labels alone."""

    metric = "accuracy"

    def __init__(self, config: Config, teacher: Backbone, processes: Processes):
        train, self.test = (images.to(str(processes.device)) for images in data.load(config.data))
        self.processes = processes
        labelled = train.few(config.data.labels_per_class, seed=config.seed)
        self.labelled = _share(labelled.batches(config.data.batch_size, config.seed, config.data), processes)
        # Where nothing is distilled, images without labels teach nothing and aren't paid for.
        count = config.data.unlabelled if config.alpha > 0 or config.gamma > 0 else 0
        self.unlabelled = _share(train.batches(count, config.seed, config.data), processes) if count else None
        with seeded(config.seed):
            student = DeiT(
                image_size=train.image_size,
                channels=train.channels,
                classes=train.classes,
                **vars(config.student),
            )
        # A stream of its own: whatever the projector draws, every method's student starts from the same weights.
        with seeded(config.seed + 1):
            distillation = _distillation(config, student.feature_dim, teacher.feature_dim)
        distilled = Distilled(config, student, teacher.to(processes.device), distillation)
        self.distilled = distilled.to(processes.device)
        self.module, self.kept = self.distilled, student

    @property
    def steps_per_epoch(self) -> int:
        return self.labelled.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        batch = self.labelled[step]
        if self.unlabelled is not None:
            batch["unlabelled"] = self.unlabelled[step]["pixels"]
        return batch

    def indices(self, step: int) -> list[int]:
        return self.labelled.indices(step)

    def evaluate(self) -> dict[str, float]:
        figures = evaluate(self.distilled, self.test, self.processes)
        distillation = self.distilled.distillation
        if distillation is not None and isinstance(distillation.projector, Projector):
            figures["defect"] = distillation.projector.defect()
        return figures

    @classmethod
    def prepare(cls, config: Config, teacher_folder: Path, processes: Processes) -> "Classification":
        """Return the task, with the teacher of `teacher_folder` trained there first if it isn't yet.

        Raises: RunFolderError if the folder holds a teacher of another recipe.
        """
        return cls(config, _trained_teacher(config, teacher_folder, processes), processes)

    @classmethod
    def untaught(cls, config: Config) -> "Classification":
        """Return the task with a teacher that knows nothing: enough to check a recipe, or to evaluate a student."""
        teacher = build_teacher(config, data.load(config.data)[0])
        return cls(config, teacher, Processes(device=config.device, is_alone=True))


def _share(batches: Batches, processes: Processes) -> Batches:
    return batches if processes.world == 1 else batches.shard(processes.rank, processes.world)


def build_teacher(config: Config, images: Source) -> Backbone:
    """Return an untrained teacher for these images."""
    return ConvNet(
        image_size=images.image_size, channels=images.channels, classes=images.classes, width=config.teacher.width
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


def _trained_teacher(config: Config, folder: Path, processes: Processes) -> Backbone:
    # The first process trains it alone: batch norm's statistics, and with them every later figure, are then the same
    # for any number of processes.
    processes.first(lambda: _train_teacher(config, folder))
    task = TeacherTraining(config, processes)
    load_weights(task.module, folder)
    return task.classifier


def _train_teacher(config: Config, folder: Path) -> None:
    # What the teacher depends on; the student's label budget isn't part of it.
    recipe = {"data": asdict(config.data), "teacher": asdict(config.teacher), "device": config.device}
    for key in ("labels_per_class", "unlabelled", "workers"):
        del recipe["data"][key]
    run = RunFolder(folder, yaml.safe_dump(recipe, sort_keys=False))
    if is_finished(folder):
        return run.check_same_config()
    alone = Processes(device=config.device, is_alone=True)
    task = TeacherTraining(config, alone)
    steps = budget.parse(config.teacher.budget).steps(task.steps_per_epoch)
    run.open(resume=True)
    fit(task, Schedule(steps, config.teacher.optimiser, scale=Scale()), run, alone)
    return None


@torch.no_grad()
def evaluate(module: Supervised | Distilled, images: Source, processes: Processes) -> dict[str, float]:
    """Return accuracy and cross-entropy on held-out images, each process having looked at its share of them."""
    was_training = module.training
    module.eval()
    share = images.subset(torch.arange(processes.rank, len(images), processes.world))
    figures = torch.zeros(3, dtype=torch.float64, device=processes.device)
    for batch in share.evaluation(_EVALUATION_BATCH):
        labels = batch["labels"].to(processes.device)
        logits = module.logits(batch["pixels"].to(processes.device)).float()
        correct = (logits.argmax(-1) == labels).sum()
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        figures += torch.stack([correct, loss, torch.tensor(len(labels), device=labels.device)])
    module.train(was_training)
    correct, loss, count = processes.sum(figures).tolist()
    return {"accuracy": correct / count, "test_loss": loss / count}
