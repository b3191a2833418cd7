"""Classification: a student learns from labels and from a teacher's features and labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from distill import cache, classification, data, layers, methods
from distill.cache import TeacherCache
from distill.config import ClassificationConfig
from distill.data import Batches
from distill.distillation import FeatureDistillation
from distill.distilled import Distilled
from distill.errors import RecipeError
from distill.evaluation import evaluate
from distill.graph import Graph
from distill.metric import ACCURACY
from distill.models import Backbone, from_pretrained
from distill.models.graph import as_graph
from distill.processes import Processes
from distill.projector import Projector
from distill.task import ExportableTask, seeded
from distill.teacher import build, recipe_of, taught_by


class Classification(ExportableTask):
    """The student's run. With alpha = gamma = 0 no teacher is run: the baseline is the labels alone."""

    metric = ACCURACY
    config: ClassVar = ClassificationConfig
    methods: ClassVar[Mapping[str, Mapping[str, Any]]] = methods.METHODS
    compared: ClassVar[Mapping[str, Sequence[str]]] = {
        "projector": ("linear", "orthogonal"),
        "parameterisation": ("exponential", "cayley", "riemannian"),
    }

    def __init__(
        self,
        config: ClassificationConfig,
        teacher: Backbone,
        processes: Processes,
        *,
        answers: TeacherCache | None = None,
    ):
        train, self.test = (images.to(str(processes.device)) for images in data.load(config.data))
        self.processes, self.answers = processes, answers
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
            distillations = _distillations(config, student, teacher)
        teacher.to(processes.device)
        distilled = Distilled(config, student, teacher, distillations)
        if config.scale.shard_teacher and processes.world > 1:
            processes.shard(teacher)
        self.distilled = distilled.to(processes.device)
        self.module, self.kept = self.distilled, student
        self.student, self.teacher = student, teacher

    @property
    def steps_per_epoch(self) -> int:
        return self.labelled.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        batch = self.labelled[step]
        if self.answers is not None:
            batch |= {f"labelled.{name}": rows for name, rows in self.answers[batch["index"]].items()}
        if self.unlabelled is not None:
            others = self.unlabelled[step]
            batch["unlabelled"] = others["pixels"]
            if self.answers is not None:
                batch |= {f"unlabelled.{name}": rows for name, rows in self.answers[others["index"]].items()}
        return batch

    def indices(self, step: int) -> list[int]:
        return self.labelled.indices(step)

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        distillations = [cast(FeatureDistillation, each) for each in self.distilled.distillations]
        return {
            "student": [self.student],
            "teacher": [self.teacher],
            "projector": [each.projector for each in distillations],
            "normalise": [each.normalise for each in distillations],
        }

    def undecayed(self) -> list[nn.Parameter]:
        return self.student.undecayed()

    def evaluate(self) -> dict[str, float]:
        figures = evaluate(self.distilled, self.distilled.logits, self.test, self.processes)
        projectors = [each.projector for each in self.distilled.distillations]
        defects = [projector.defect() for projector in projectors if isinstance(projector, Projector)]
        if defects:
            figures["defect"] = max(defects)
        return figures

    def save(self, folder: Path) -> None:
        self.student.save(folder)

    def graph(self, folder: Path) -> Graph:
        # What was written, not what was trained: it takes pixels as config.json says.
        return as_graph(from_pretrained(folder))

    @classmethod
    def choices(cls) -> Mapping[str, Sequence[str]]:
        return classification.choices()

    @classmethod
    def validate(cls, config: ClassificationConfig) -> None:
        classification.validate(config)

    @classmethod
    def notes(cls, config: ClassificationConfig) -> list[str]:
        if config.data.unlabelled == 0:
            return []
        images = f"Every distilled run also sees {config.data.unlabelled} training images a step without their labels"
        return [f"{images}; the run without distillation has no use for them, so its steps are cheaper."]

    @classmethod
    def idle(cls, config: ClassificationConfig) -> list[str]:
        return classification.idle(config)

    @classmethod
    def teacher_of(cls, config: ClassificationConfig) -> str:
        return recipe_of(config)

    @classmethod
    def method_of(cls, config: ClassificationConfig) -> str:
        return methods.name_of(config)

    @classmethod
    def prepare(cls, config: ClassificationConfig, teacher_folder: Path, processes: Processes) -> "Classification":
        if config.alpha == 0 and config.gamma == 0:
            return cls(config, _know_nothing(config), processes)
        teacher = taught_by(config, teacher_folder, processes)
        if not config.teacher.cache:
            return cls(config, teacher, processes)
        train, _ = data.load(config.data)
        teacher.to(processes.device)
        folder = processes.first(lambda: cache.prepare(config, teacher, train))
        return cls(config, teacher, processes, answers=TeacherCache(folder, cache.names(config)))

    @classmethod
    def untaught(cls, config: ClassificationConfig) -> "Classification":
        return cls(config, _know_nothing(config), Processes(device=config.device, is_alone=True))


def _know_nothing(config: ClassificationConfig) -> Backbone:
    """Return the teacher as it is before anyone taught it."""
    return build(config.teacher, data.load(config.data)[0], "")


def _share(batches: Batches, processes: Processes) -> Batches:
    return batches if processes.world == 1 else batches.shard(processes.rank, processes.world)


def _distillations(config: ClassificationConfig, student: Backbone, teacher: Backbone) -> list[FeatureDistillation]:
    """Return one a pair of layers; none where features aren't distilled."""
    if config.alpha == 0:
        return []
    pairs = layers.parse(config.layers)
    students = layers.widths(student, [pair.student for pair in pairs])
    teachers = layers.widths(teacher, [pair.teacher for pair in pairs])
    return [
        FeatureDistillation(
            student_dim,
            teacher_dim,
            projector=config.projector,
            by=config.parameterisation,
            normalise=config.normalise,
            loss=config.loss,
        )
        for student_dim, teacher_dim in zip(students, teachers, strict=True)
    ]
