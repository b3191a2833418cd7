"""What a run is made from: typed dataclasses. `distill.recipe` reads them from YAML and flags and validates them."""

from dataclasses import dataclass, field

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Optimiser:
    """name: adam, adamw or sgd. lr: peak of a cosine schedule. warmup: its share of the steps. clip_norm: 0 is off."""

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0


@dataclass(frozen=True)
class Data:
    """name: the data set. labels_per_class: how many labelled images the student sees. shift: augmentation, pixels.

    batch_size: labelled images a step. unlabelled: training images a step, from all of them, that are seen
    without their labels and carry the distillation losses alone; 0 for none.
    """

    name: str = "digits"
    labels_per_class: int = 10
    batch_size: int = 64
    unlabelled: int = 0
    shift: int = 1


@dataclass(frozen=True)
class Teacher:
    """The convolutional teacher, trained on every training image with labels. width: of its first layer."""

    width: int = 32
    budget: str = "epochs:30"
    seed: int = 0
    optimiser: Optimiser = field(default_factory=Optimiser)


@dataclass(frozen=True)
class Student:
    """A vision transformer of DeiT's shape. width: of its tokens. patch: edge of a patch in pixels."""

    width: int = 32
    depth: int = 2
    heads: int = 4
    patch: int = 2


@dataclass(frozen=True)
class Config:
    """A classification run.

    projector, parameterisation, normalise, loss: the feature distillation. alpha: its weight, 0 for none.
    gamma: weight of the teacher's soft labels on the distillation head, 0 for none. budget: steps:N or epochs:N.
    evaluations: how often the run is evaluated and checkpointed, the last time at its end.
    threads: CPU threads of torch, 0 for its own choice; a small model is quickest, and undisturbed, on one.
    """

    projector: str = "orthogonal"
    parameterisation: str = "cayley"
    normalise: str = "standardise"
    loss: str = "smooth_l1"
    alpha: float = 1.0
    gamma: float = 0.0
    budget: str = "steps:600"
    seed: int = 0
    evaluations: int = 20
    threads: int = 0
    device: str = "cpu"
    precision: str = "float32"
    data: Data = field(default_factory=Data)
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)
    optimiser: Optimiser = field(default_factory=Optimiser)
