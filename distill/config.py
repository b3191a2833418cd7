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
    """name: as `distill.models.build` takes it. weights: "train" it here on every training image with labels, to its
    budget; "pretrained"; or a path. width: of the convnet's first layer, 0 for the model's own.
    """

    name: str = "convnet"
    weights: str = "train"
    width: int = 0
    budget: str = "epochs:30"
    seed: int = 0
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
