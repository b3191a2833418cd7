"""Classification: a student learns from labels and from a teacher's features and labels."""

from pathlib import Path

from torch import Tensor

from distill import data
from distill.config import Config
from distill.data import Batches
from distill.distilled import Distilled
from distill.errors import RecipeError
from distill.evaluation import evaluate
from distill.features import FeatureDistillation
from distill.models import Backbone
from distill.processes import Processes
from distill.projector import Projector
from distill.task import Task, seeded
from distill.teacher import build, taught_by


class Classification(Task):
    """The student's run. With alpha = gamma = 0 no teacher is run: the baseline is the labels alone."""

    metric = "accuracy"

    def __init__(self, config: Config, teacher: Backbone, processes: Processes):
        train, self.test = (images.to(str(processes.device)) for images in data.load(config.data))
        self.processes = processes
        if config.gamma > 0 and teacher.classes != train.classes:
            raise RecipeError("gamma", f"0, as the teacher knows {teacher.classes} other classes", config.gamma)
        labelled = train.few(config.data.labels_per_class, seed=config.seed)
        self.labelled = _share(labelled.batches(config.data.batch_size, config.seed, config.data), processes)
        # Where nothing is distilled, images without labels teach nothing and aren't paid for.
        count = config.data.unlabelled if config.alpha > 0 or config.gamma > 0 else 0
        self.unlabelled = _share(train.batches(count, config.seed, config.data), processes) if count else None
        with seeded(config.seed):
            student = build(config.student, train, config.student.weights)
        if config.scale.checkpointing:
            student.checkpointing(True)
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
        figures = evaluate(self.distilled, self.distilled.logits, self.test, self.processes)
        distillation = self.distilled.distillation
        if distillation is not None and isinstance(distillation.projector, Projector):
            figures["defect"] = distillation.projector.defect()
        return figures

    @classmethod
    def prepare(cls, config: Config, teacher_folder: Path, processes: Processes) -> "Classification":
        """Return the task, with the teacher of `teacher_folder` trained there first if it isn't yet.

        Raises: RunFolderError if the folder holds a teacher of another recipe.
        """
        return cls(config, taught_by(config, teacher_folder, processes), processes)

    @classmethod
    def untaught(cls, config: Config) -> "Classification":
        """Return the task with a teacher that knows nothing: enough to check a recipe, or to evaluate a student."""
        teacher = build(config.teacher, data.load(config.data)[0], "")
        return cls(config, teacher, Processes(device=config.device, is_alone=True))


def _share(batches: Batches, processes: Processes) -> Batches:
    return batches if processes.world == 1 else batches.shard(processes.rank, processes.world)


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
