"""What a generation run is made from: the recipe keys of its images, its teacher, the distillation and the metrics."""

from dataclasses import dataclass, field

from distill.config import Config, Optimiser
from distill.generation.game_config import Game

DISTILLATIONS = ("vkd", "kd_dlgan")
PREPROCESSINGS = ("clip", "published")
REFERENCES = ("held_out", "training")
EXTRACTORS = ("classifier", "inception")


@dataclass(frozen=True)
class GenerationData:
    """The real images, all of them in −1 … 1.

    name: digits, cifar10, cifar100, faces (100 of them), folder, imagenet, shards, or shots: a folder of images
    without classes. path: where the files lie. image_size: edge in pixels, 0 for the data set's own (224 for files).
    workers: processes that decode files ahead.
    fraction: share of the training images of each class that is learnt from. shots: how many images instead, over all
    classes; 0 for what fraction says. list: a file with the name of each image to take, a line each, as runs write
    them (`images.txt`); "" for what fraction and shots say.
    mirror: half of the images of each batch have left and right exchanged. batch_size: real images a turn of the
    discriminator, and generated ones a turn of either player.
    """

    name: str = "digits"
    path: str = ""
    image_size: int = 0
    workers: int = 4
    fraction: float = 1.0
    shots: int = 0
    list: str = ""
    mirror: bool = False
    batch_size: int = 50


@dataclass(frozen=True)
class GenerationTeacher:
    """The frozen teacher of the discriminator.

    name: clip:ORG/NAME or clip:FOLDER for a CLIP of transformers with its text encoder; else a classifier as
    `distill.models.build` takes it. weights: of a classifier; "train" it here on every training image of the data set
    with labels, to its budget; "pretrained"; or a path. width: of a convnet's first layer, 0 for its own.
    image_size: edge in pixels that images are resized to for a classifier with weights, 0 for the data's own.
    preprocessing: of CLIP's pixels; clip: bicubic to its size, its mean and deviation; published: nearest neighbours
    and no normalisation, as KD-DLGAN's code has it.
    """

    name: str = "convnet"
    weights: str = "train"
    width: int = 0
    image_size: int = 0
    budget: str = "epochs:30"
    seed: int = 0
    preprocessing: str = "clip"
    optimiser: Optimiser = field(default_factory=Optimiser)


@dataclass(frozen=True)
class Whitening:
    """How teacher features are whitened, where normalise is whiten.

    shrinkage: of the covariance towards a multiple of the identity, 0 <= shrinkage < 1. momentum: weight of the newest
    batch in the averaged covariance; 1 takes each batch's alone. groups: of channels, each whitened on its own.
    """

    shrinkage: float = 0.05
    momentum: float = 0.05
    groups: int = 1


@dataclass(frozen=True)
class KDDLGAN:
    """Weights of KD-DLGAN's losses: aggregated (features), correlated (with the classes' texts), diversity.

    diversity is 0: in the released code its term, of weight 10, is computed from the teacher alone and has no gradient.
    """

    aggregated: float = 10.0
    correlated: float = 10.0
    diversity: float = 0.0


@dataclass(frozen=True)
class Metrics:
    """How samples are judged.

    extractor: classifier (trained here on the real training images with labels, never the teacher's own weights) or
    inception. weights: path of Inception's published state dict, whose SHA-256 is checked. samples: generated images;
    at most so many real ones are compared. reference: the real images compared with, held_out or all of training.
    neighbours: k of precision and recall. width, budget, seed: of the classifier that is trained here.
    """

    extractor: str = "classifier"
    weights: str = ""
    samples: int = 10_000
    reference: str = "held_out"
    neighbours: int = 3
    width: int = 0
    budget: str = "epochs:30"
    seed: int = 1


@dataclass(frozen=True)
class GenerationConfig(Config):
    """A generation run.

    distillation: what the discriminator learns from the teacher beside real and fake: vkd or kd_dlgan, with weight
    `alpha`. projector, normalise, loss: VkD's, on real and generated images.
    """

    distillation: str = "vkd"
    projector: str = "orthogonal"
    normalise: str = "whiten"
    loss: str = "mse"
    whitening: Whitening = field(default_factory=Whitening)
    kd_dlgan: KDDLGAN = field(default_factory=KDDLGAN)
    data: GenerationData = field(default_factory=GenerationData)
    teacher: GenerationTeacher = field(default_factory=GenerationTeacher)
    metrics: Metrics = field(default_factory=Metrics)
    game: Game = field(default_factory=Game)

    @property
    def batch_size(self) -> int:
        return self.data.batch_size
