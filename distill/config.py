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
    """What is trained on, and how it is augmented.

    name: the data set. path: its folder, for those that lie in files. image_size: edge in pixels that files are cut
    to, 0 for the data set's own (224 for files). workers: processes that decode files ahead, for each stream of
    batches; 0 decodes in the run's own. normalisation: of files, by ImageNet's statistics or to half: 0.5 ± 0.5.
    labels_per_class: how many labelled images the student sees, 0 for all.
    batch_size: labelled images a step. unlabelled: training images a step, from all of them, that are seen
    without their labels and carry the distillation losses alone; 0 for none.

    augment: none, shift (by up to `shift` whole pixels), or, of files, crop, three_augment, rand_augment.
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
