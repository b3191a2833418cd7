"""The frozen teacher of a run: trained here once, or taken from a library or a file."""

import math
from dataclasses import asdict
from pathlib import Path

import yaml
from torch import Tensor, nn
from torch.nn import functional

from distill import budget, data, models
from distill.checkpoint import load_weights
from distill.config import ClassificationConfig, Scale, Student, Teacher
from distill.data import Source
from distill.evaluation import evaluate
from distill.loop import fit
from distill.metric import ACCURACY
from distill.models import Backbone, Normalisation
from distill.processes import Processes
from distill.run_folder import RunFolder, is_finished
from distill.schedule import Schedule
from distill.task import Task, seeded

_TRAINED_HERE = "train"
# What a teacher doesn't depend on: the student's share of labels, and how many processes read files.
_OF_THE_STUDENT = ("labels_per_class", "unlabelled", "workers")


def taught_by(config: ClassificationConfig, folder: Path, processes: Processes) -> Backbone:
    """Return the teacher of a recipe; one that is trained here is trained in `folder`, if it isn't yet.

    The first process trains it alone: batch norm's statistics, and with them every later figure, are then the same
    for any number of processes.
    Raises: RunFolderError if the folder holds a teacher of another recipe; what `models.build` raises.
    """
    processes.first(lambda: _prepare(config, folder))
    task = TeacherTraining(config, processes)
    if config.teacher.weights == _TRAINED_HERE:
        load_weights(task.module, folder)
    return task.classifier


def recipe_of(config: ClassificationConfig) -> str:
    """Return what the teacher of a recipe depends on, as the text of its config.yaml."""
    recipe = {"data": asdict(config.data), "teacher": asdict(config.teacher), "device": config.device}
    for key in _OF_THE_STUDENT:
        del recipe["data"][key]
    del recipe["teacher"]["cache"]
    return yaml.safe_dump(recipe, sort_keys=False)


def build(model: Teacher | Student, images: Source, weights: str) -> Backbone:
    """Return a recipe's model for these images."""
    return models.build(
        model.name,
        classes=images.classes,
        image_size=images.image_size,
        channels=images.channels,
        weights=weights,
        shape=model.shape,
        keep_head=isinstance(model, Teacher),
        pixels=None if images.normalisation is None else Normalisation(*images.normalisation),
    )


class TeacherTraining(Task):
    """The teacher's own supervised run, on every training image."""

    metric = ACCURACY

    def __init__(self, config: ClassificationConfig, processes: Processes):
        train, self.test = (images.to(str(processes.device)) for images in data.load(config.data))
        self.processes = processes
        self.batches = train.batches(config.data.batch_size, config.teacher.seed, config.data)
        weights = "" if config.teacher.weights == _TRAINED_HERE else config.teacher.weights
        with seeded(config.teacher.seed):
            self.classifier = build(config.teacher, train, weights)
        self.module = Supervised(self.classifier).to(processes.device)
        self.kept = self.classifier

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.batches[step]

    def indices(self, step: int) -> list[int]:
        return self.batches.indices(step)

    def evaluate(self) -> dict[str, float]:
        if self.classifier.classes != self.test.classes:  # features to learn from, but no answers
            return {"accuracy": math.nan, "test_loss": math.nan}
        return evaluate(self.module, lambda pixels: self.classifier(pixels).logits, self.test, self.processes)


class Supervised(nn.Module):
    """loss = cross-entropy of the class head."""

    def __init__(self, classifier: Backbone):
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(self.classifier(batch["pixels"]).logits, batch["labels"])}


def _prepare(config: ClassificationConfig, folder: Path) -> None:
    run = RunFolder(folder, recipe_of(config))
    if is_finished(folder):
        run.check_same_config()
        return
    alone = Processes(device=config.device, is_alone=True)
    task = TeacherTraining(config, alone)
    with run.locked(patience=math.inf):  # runs that start together wait for the one that trains the teacher of all
        run.open(resume=True)
        if is_finished(folder):
            return
        if config.teacher.weights == _TRAINED_HERE:
            spendable = budget.parse(config.teacher.budget).settled(task.steps_per_epoch)
            schedule = Schedule(spendable.amount, config.teacher.optimiser, scale=Scale(), unit=spendable.unit)
            fit(task, schedule, run, alone)
        else:
            run.finish({"steps": 0, "metric": task.metric.name, **task.evaluate()})
