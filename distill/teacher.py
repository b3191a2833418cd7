"""The frozen teacher of a run: trained here once, or taken from a library or a file."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from torch import Tensor, nn
from torch.nn import functional

from distill import budget, data, models
from distill.checkpoint import load_weights
from distill.config import ClassificationConfig, Optimiser, Scale, Student, Teacher
from distill.data import Source
from distill.evaluation import evaluate
from distill.loop import fit
from distill.metric import ACCURACY
from distill.models import Backbone, Normalisation
from distill.processes import Processes
from distill.run_folder import RunFolder, is_finished
from distill.schedule import Schedule
from distill.task import Task, seeded

TaskKind = TypeVar("TaskKind", bound=Task)

TRAINED_HERE = "train"
# What a teacher doesn't depend on: the student's share of labels, and how many processes read files.
_OF_THE_STUDENT = ("labels_per_class", "unlabelled", "workers")


@dataclass(frozen=True)
class Training:
    """How a teacher comes to be. recipe: all that it depends on, as text; a folder that holds another one's is refused.

    weights: "train" trains it, to its budget; anything else was loaded by the task itself, and is evaluated once.
    """

    recipe: str
    weights: str
    budget: str
    optimiser: Optimiser
    device: str
    evaluations: int = 20

    @property
    def is_trained_here(self) -> bool:
        """Whether it is trained in its folder."""
        return self.weights == TRAINED_HERE


def taught(make: Callable[[Processes], TaskKind], training: Training, folder: Path, processes: Processes) -> TaskKind:
    """Return a teacher's own task with the weights that its training in `folder` ends with, trained now if need be.

    The first process trains it alone: batch norm's statistics, and with them every later figure, are then the same
    for any number of processes.
    Raises: RunFolderError if the folder holds a teacher of another recipe; what `make` raises.
    """
    processes.first(lambda: _prepare(make, training, folder))
    task = make(processes)
    if training.is_trained_here:
        load_weights(task.module, folder)
    return task


def taught_by(config: ClassificationConfig, folder: Path, processes: Processes) -> Backbone:
    """Return the teacher of a classification recipe; one that is trained here is trained in `folder`, if it isn't yet.

    Raises: as `taught` does; what `models.build` raises.
    """
    teacher = config.teacher
    training = Training(recipe_of(config), teacher.weights, teacher.budget, teacher.optimiser, config.device)
    return taught(lambda each: TeacherTraining(config, each), training, folder, processes).classifier


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
        weights = "" if config.teacher.weights == TRAINED_HERE else config.teacher.weights
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


def _prepare(make: Callable[[Processes], Task], training: Training, folder: Path) -> None:
    run = RunFolder(folder, training.recipe)
    if is_finished(folder):
        run.check_same_config()
        return
    alone = Processes(device=training.device, is_alone=True)
    task = make(alone)
    with run.locked(patience=math.inf):  # runs that start together wait for the one that trains the teacher of all
        run.open(resume=True)
        if is_finished(folder):
            return
        if training.is_trained_here:
            spendable = budget.parse(training.budget).settled(task.steps_per_epoch)
            schedule = Schedule(
                spendable.amount, training.optimiser, training.evaluations, scale=Scale(), unit=spendable.unit
            )
            fit(task, schedule, run, alone)
        else:
            run.finish({"steps": 0, "metric": task.metric.name, **task.evaluate()})
