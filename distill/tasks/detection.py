"""Detection: a student learns from boxes and from a teacher's tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from torch import Tensor, nn

from distill.detection import data, rules
from distill.detection.config import METHODS, DetectionConfig, DetectionData
from distill.detection.data import Annotations, geometry
from distill.detection.data.batches import Batches
from distill.detection.distillation import Projected, TokenMatching, check_pair
from distill.detection.distilled import Distilled, Supervised
from distill.detection.evaluation import evaluate
from distill.detection.models import Detector, build, from_pretrained, save
from distill.detection.models.graph import as_graph
from distill.errors import RecipeError
from distill.graph import Graph
from distill.metric import Metric
from distill.models.folder import CONFIG, read_config
from distill.processes import Processes
from distill.projector import Projectors
from distill.task import ExportableTask, Task, seeded
from distill.teacher import TRAINED_HERE, Training, taught
from distill.validation import check_parts

AP = Metric("ap", "AP", is_share=True)
# What a teacher doesn't depend on: how many images its student sees, and how many processes read files.
_OF_THE_STUDENT = ("images", "workers")


class Detection(ExportableTask):
    """The student's run. With alpha = 0 no teacher is run: the baseline is the boxes alone."""

    metric = AP
    config: ClassVar = DetectionConfig
    recipe: ClassVar = "scenes"
    methods: ClassVar[Mapping[str, Mapping[str, Any]]] = METHODS
    compared: ClassVar[Mapping[str, Sequence[str]]] = {
        "method": ("token", "vkd"),
        "parameterisation": ("exponential", "cayley", "riemannian"),
    }

    def __init__(self, config: DetectionConfig, teacher: Detector, processes: Processes):
        train, test = data.load(config.data)
        self.settings, self.device = config, processes.device
        self.judged = _Judged(test, config.data, processes)
        self.batches = _Shared(_some(train, config.data.images, config.seed), config.data, config.seed, processes)
        check_parts(config, "data.images", len(self.indices(0)))  # batches are smaller where images are fewer
        with seeded(config.seed):
            student = build(config.student.name, train.classes, weights=config.student.weights)
        if config.scale.checkpointing:
            student.checkpointing(True)
        # A stream of its own: whatever the projectors draw, every method's student starts from the same weights.
        with seeded(config.seed + 1):
            distillation = _distillation(config, student, teacher)
        self.distillation, self.student, self.teacher = distillation, student, teacher
        if distillation is None:
            module: nn.Module = Supervised(student)
        else:
            module = Distilled(student, teacher.to(processes.device), distillation, config.alpha)
            if config.scale.shard_teacher and processes.world > 1:
                processes.shard(teacher)
        self.module, self.kept = module.to(processes.device), student

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.batches[step]

    def indices(self, step: int) -> list[int]:
        return self.batches.indices(step)

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        projectors = [self.distillation.projectors] if isinstance(self.distillation, Projected) else []
        return {"student": [self.student], "teacher": [self.teacher], "projector": projectors}

    def undecayed(self) -> list[nn.Parameter]:
        found = self.distillation.affine() if isinstance(self.distillation, Projected) else []
        return [*self.student.undecayed(), *found]

    def evaluate(self) -> dict[str, float]:
        figures = self.judged(self.student)
        projectors = self.distillation.projectors if isinstance(self.distillation, Projected) else None
        return {**figures, "defect": projectors.defect()} if isinstance(projectors, Projectors) else figures

    def save(self, folder: Path) -> None:
        save(self.settings.student.name, self.student, folder)

    def graph(self, folder: Path) -> Graph:
        return as_graph(from_pretrained(folder), self.judged.size)

    @classmethod
    def choices(cls) -> Mapping[str, Sequence[str]]:
        return rules.choices()

    @classmethod
    def validate(cls, config: DetectionConfig) -> None:
        rules.validate(config)

    @classmethod
    def idle(cls, config: DetectionConfig) -> list[str]:
        return rules.idle(config)

    @classmethod
    def teacher_of(cls, config: DetectionConfig) -> str:
        recipe = {"data": asdict(config.data), "teacher": asdict(config.teacher), "device": config.device}
        for key in _OF_THE_STUDENT:
            del recipe["data"][key]
        return yaml.safe_dump(recipe, sort_keys=False)

    @classmethod
    def prepare(cls, config: DetectionConfig, teacher_folder: Path, processes: Processes) -> "Detection":
        if processes.is_first:
            for part in data.load(config.data):
                part.report()
        if config.alpha == 0:
            return cls(config, build(config.teacher.name, data.load(config.data)[0].classes), processes)
        teacher, text = config.teacher, cls.teacher_of(config)
        training = Training(text, teacher.weights, teacher.budget, teacher.optimiser, config.device, config.evaluations)
        task = taught(lambda each: TeacherTraining(config, each), training, teacher_folder, processes)
        return cls(config, task.detector, processes)

    @classmethod
    def untaught(cls, config: DetectionConfig) -> "Detection":
        train, _ = data.load(config.data)
        teacher = build(config.teacher.name, train.classes)
        return cls(config, teacher, Processes(device=config.device, is_alone=True))


class TeacherTraining(Task):
    """The teacher's own supervised run, on every training image."""

    metric = AP

    def __init__(self, config: DetectionConfig, processes: Processes):
        train, test = data.load(config.data)
        self.judged = _Judged(test, config.data, processes)
        self.batches = _Shared(train, config.data, config.teacher.seed, processes)
        with seeded(config.teacher.seed):
            self.detector = _teacher(config, train.classes)
        self.module = Supervised(self.detector).to(processes.device)
        self.kept = self.detector

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.batches[step]

    def indices(self, step: int) -> list[int]:
        return self.batches.indices(step)

    def undecayed(self) -> list[nn.Parameter]:
        return self.detector.undecayed()

    def evaluate(self) -> dict[str, float]:
        return self.judged(self.detector)


def _teacher(config: DetectionConfig, classes: int) -> Detector:
    name, weights = config.teacher.name, config.teacher.weights
    if weights == TRAINED_HERE:
        return build(name, classes)
    if not (Path(weights) / CONFIG).exists():
        return build(name, classes, weights=weights)
    found = read_config(Path(weights)).get("model", name)
    if found != name:
        raise RecipeError("teacher.name", f"{found}, whose weights lie in {weights}", name)
    return from_pretrained(weights)  # it says itself how many classes it has: published ones have COCO's 91


class _Shared:
    """This process's slices of batches, with how many objects an image of the whole batch has on average."""

    def __init__(self, annotations: Annotations, wanted: DetectionData, seed: int, processes: Processes):
        rank, world, device = processes.rank, processes.world, processes.device
        self._batches = Batches(annotations, wanted, data.edge(wanted), device, seed=seed, rank=rank, world=world)
        self._processes = processes
        self.per_epoch, self.indices = self._batches.per_epoch, self._batches.indices

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        batch = self._batches[step]
        # One number an image, so that every part of a slice sums up to its share, and losses add up to the whole's.
        count = len(batch["index"])
        objects = self._processes.mean((batch["labels"] >= 0).sum(1).float().mean())
        # One object at least a whole batch, so that a batch without any has a loss too.
        return {**batch, "objects": objects.clamp(min=1 / (count * self._processes.world)).expand(count)}


class _Judged:
    """Held-out images, and the figures of a detector on them."""

    def __init__(self, annotations: Annotations, wanted: DetectionData, processes: Processes):
        self._annotations, self._data, self._processes = annotations, wanted, processes

    def __call__(self, detector: Detector) -> dict[str, float]:
        return evaluate(detector, self._annotations, self._data, data.edge(self._data), self._processes)

    @property
    def size(self) -> tuple[int, int]:
        """The height and width in pixels that hold every image as it is judged."""
        edge = data.edge(self._data)
        sizes = {geometry.evaluation((width, height), edge).size for width, height in self._annotations.sizes.tolist()}
        width, height = (max(sides) for sides in zip(*sizes, strict=True))
        return height, width


def _some(annotations: Annotations, count: int, seed: int) -> Annotations:
    """Return `count` images drawn by `seed`, all of them if it is 0."""
    if not 0 < count < len(annotations):
        return annotations
    return annotations.subset(np.sort(np.random.default_rng(seed).permutation(len(annotations))[:count]))


def _distillation(config: DetectionConfig, student: Detector, teacher: Detector) -> nn.Module | None:
    if config.alpha == 0:
        return None
    check_pair(student, teacher)
    if config.learned_from == "tokens":
        return TokenMatching(student, teacher)
    by = config.parameterisation
    return Projected(student, teacher, projector=config.projector, by=by, is_affine=config.affine)
