"""What a run is made from: typed dataclasses. `distill.recipe` reads them from YAML and flags and validates them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

PRECISIONS = ("float32", "bfloat16", "float16")
TOKENS = ("pooled", "dense")
SCHEDULES = ("cosine", "constant")
HEADS = ("own", "teacher")
TEACHER_LABELS = ("soft", "hard")


@dataclass(frozen=True)
class Optimiser:
    """name: adam, adamw or sgd. lr: its peak. warmup: its share of the steps. clip_norm: 0 is off.

    lr_batch: the batch that lr is meant for; another trains at lr · data.batch_size / lr_batch. 0 takes lr as it is.
    schedule: after the warm-up, a cosine down to a hundredth or constant. beta1, beta2: of Adam's averages.
    """

    name: str = "adamw"
    lr: float = 1e-3
    lr_batch: int = 0
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0
    schedule: str = "cosine"
    beta1: float = 0.9
    beta2: float = 0.999


@dataclass(frozen=True)
class Scale:
    """How a step is spread out; none of it changes what a step computes but by rounding, `average` aside.

    devices: processes on this machine, each with a device and a slice of the batch of its own; under torchrun or
    SLURM their number is taken from there. shard_teacher: its weights are spread over the processes (FSDP) instead of
    held by each. accumulate: parts that a slice is worked off in. average: decay of an
    exponential moving average of the student, evaluated beside it; 0 for none. average_start: steps that it waits
    for. checkpointing: activations are computed again in the backward pass instead of kept. compile: by torch.compile.
    """

    devices: int = 1
    shard_teacher: bool = False
    accumulate: int = 1
    average: float = 0.0
    average_start: int = 0
    checkpointing: bool = False
    compile: bool = False


@dataclass(frozen=True)
class Config(ABC):
    """What the recipes of every task hold.

    parameterisation: of the orthogonal projector. alpha: weight of what is distilled into features, 0 for none.
    budget: as docs/budgets.md lists them, such as steps:2000, epochs:5, flops:1e15, wall:10m or v100:2m.
    evaluations: how often the run is evaluated and checkpointed, the last time at its end.
    threads: CPU threads of torch, 0 for its own choice; a small model is quickest, and undisturbed, on one.
    """

    parameterisation: str = "cayley"
    alpha: float = 1.0
    budget: str = "steps:600"
    seed: int = 0
    evaluations: int = 20
    threads: int = 0
    device: str = "cpu"
    precision: str = "float32"
    scale: Scale = field(default_factory=Scale)
    optimiser: Optimiser = field(default_factory=Optimiser)

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Images a step whose number the learning rate is scaled by."""


@dataclass(frozen=True)
class Data:
    """What is trained on, and how it is augmented.

    name: the data set. path: its folder, for those that lie in files. image_size: edge in pixels that files are cut
    to, 0 for the data set's own (224 for files). workers: processes that decode files ahead, for each stream of
    batches; 0 decodes in the run's own. normalisation: by ImageNet's statistics, or to half: 0.5 ± 0.5; digits have
    statistics of their own instead of ImageNet's.
    labels_per_class: how many labelled images the student sees, 0 for all.
    batch_size: labelled images a step. unlabelled: training images a step, from all of them, that are seen
    without their labels and carry the distillation losses alone; 0 for none.

    augment: none, shift (by up to `shift` whole pixels), mirror (half of the images), or, of files, crop,
    three_augment, rand_augment.
    cropped_share: how much of a file's shorter edge the centre crop keeps where nothing is drawn, as in evaluation.
    crop_scale: the least share of an image that a random crop keeps. color_jitter: of brightness, contrast and
    saturation. erasing: share of the images in which a rectangle becomes noise. repeats: copies of each image in a
    batch, each augmented on its own. mixup, cutmix: parameter of their Beta distribution, 0 for none. mix_prob:
    share of the batches that are mixed. mix_switch: share of those that cutmix takes where both are on.
    label_smoothing: share of a label that is spread over all classes.
    """

    name: str = "digits"
    path: str = ""
    image_size: int = 0
    workers: int = 4
    normalisation: str = "imagenet"
    labels_per_class: int = 10
    batch_size: int = 64
    unlabelled: int = 0
    augment: str = "shift"
    shift: int = 1
    cropped_share: float = 0.875
    crop_scale: float = 0.08
    color_jitter: float = 0.3
    erasing: float = 0.0
    repeats: int = 1
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 1.0
    mix_switch: float = 0.5
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Teacher:
    """name: as `distill.models.build` takes it. weights: "train" it here on every training image with labels, to its
    budget; "pretrained"; or a path. width: of the convnet's first layer, 0 for the model's own. cache: a folder that
    keeps its answers to every training image, for data whose augmentation is fixed; "" runs it at every step.
    """

    name: str = "convnet"
    weights: str = "train"
    width: int = 0
    budget: str = "epochs:30"
    seed: int = 0
    cache: str = ""
    optimiser: Optimiser = field(default_factory=Optimiser)

    @property
    def shape(self) -> dict[str, int]:
        """The shape keys that are set."""
        return {"width": self.width} if self.width else {}


@dataclass(frozen=True)
class Student:
    """name: as `distill.models.build` takes it. weights: "" to start untrained, "pretrained", or a path.

    Shape of deit, 0 for the model's own. width: of its tokens. patch: edge of a patch in pixels.
    """

    name: str = "deit"
    weights: str = ""
    width: int = 0
    depth: int = 0
    heads: int = 0
    patch: int = 0

    @property
    def shape(self) -> dict[str, int]:
        """The shape keys that are set."""
        shape = {"width": self.width, "depth": self.depth, "heads": self.heads, "patch": self.patch}
        return {key: value for key, value in shape.items() if value}


@dataclass(frozen=True)
class ClassificationConfig(Config):
    """A classification run.

    projector, normalise, loss: the feature distillation.
    layers: what is distilled, `final` or pairs student=teacher of submodule names, by commas. tokens: pooled, the
    mean over places, or dense, every place of its own. head: own, or teacher for SimKD, which classifies projected
    features by the teacher's head. label_weight: of the cross-entropy with the labels.
    gamma: weight of the teacher's labels on the distillation head, 0 for none; teacher_labels: soft (its
    probabilities at a temperature) or hard (its decision).
    """

    projector: str = "orthogonal"
    normalise: str = "standardise"
    loss: str = "smooth_l1"
    layers: str = "final"
    tokens: str = "pooled"
    head: str = "own"
    label_weight: float = 1.0
    gamma: float = 0.0
    teacher_labels: str = "soft"
    temperature: float = 1.0
    data: Data = field(default_factory=Data)
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)

    @property
    def batch_size(self) -> int:
        return self.data.batch_size


C = TypeVar("C")


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys and values as one mapping, the inner keys behind dots."""
    keys = {}
    for key, value in content.items():
        keys |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return keys


def changed(config: C, keys: Mapping[str, Any]) -> C:
    """Return a config, or a part of one, with other values of some keys; inner keys stand behind dots."""
    for key, value in keys.items():
        outer, _, inner = key.partition(".")
        new = changed(getattr(config, outer), {inner: value}) if inner else value
        config = replace(config, **{outer: new})  # pyright: ignore[reportArgumentType]
    return config
