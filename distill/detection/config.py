"""What a detection run is made from: typed dataclasses."""

from dataclasses import dataclass, field

from distill.config import Config, Optimiser

AUGMENTATIONS = ("none", "resize_crop")
LEARNED_FROM = ("projected", "tokens")


@dataclass(frozen=True)
class DetectionData:
    """Annotated images, and how they are augmented.

    name: the data set. path: its folder; scenes are drawn into a cache folder where it is empty. images: how many of
    the training images the student sees, drawn by the run's seed, 0 for all. image_size: the shorter edge in pixels,
    the longer one at most 5/3 of it (COCO's 800 and 1333); 0 for the data set's own. workers: processes that decode
    files ahead; 0 decodes in the run's own. normalisation: by ImageNet's statistics or to half: 0.5 ± 0.5.
    batch_size: images a step.

    augment: none, or resize_crop, DETR's: a shorter edge of 0.6 to 1 of image_size, half of the images cropped before.
    flip: share of the images that are mirrored left to right; 0 for digits, which have no mirror images.
    """

    name: str = "scenes"
    path: str = ""
    images: int = 0
    image_size: int = 0
    workers: int = 0
    normalisation: str = "imagenet"
    batch_size: int = 16
    augment: str = "none"
    flip: float = 0.0


@dataclass(frozen=True)
class DetectionTeacher:
    """name: a detector of `distill.detection.models`. weights: "train" it here on every training image, to its budget;
    or the folder that `distill import-weights` wrote, or the path of this very model's file.
    """

    name: str = "vidt_mini"
    weights: str = "train"
    budget: str = "epochs:20"
    seed: int = 0
    optimiser: Optimiser = field(default_factory=Optimiser)


@dataclass(frozen=True)
class DetectionStudent:
    """name: a detector of `distill.detection.models`. weights: "" to start untrained, or the path of this very model's
    file, or of a Swin's that was trained to classify, which is read into the body alone.
    """

    name: str = "vidt_pico"
    weights: str = ""


@dataclass(frozen=True)
class DetectionConfig(Config):
    """A detection run.

    alpha: weight of what is learned from the teacher, ViDT's 4. learned_from: `projected` features, standardised on
    both sides (VkD), or `tokens`, ViDT's distances between student's and teacher's tokens as they are, which must be
    of one width. projector, parameterisation: of the former. affine: whether a learned scale and bias follow the
    student's standardised channels.
    """

    alpha: float = 4.0
    learned_from: str = "projected"
    projector: str = "orthogonal"
    affine: bool = False
    data: DetectionData = field(default_factory=DetectionData)
    teacher: DetectionTeacher = field(default_factory=DetectionTeacher)
    student: DetectionStudent = field(default_factory=DetectionStudent)

    @property
    def batch_size(self) -> int:
        return self.data.batch_size


METHODS = {
    "none": {"alpha": 0.0},
    "token": {"learned_from": "tokens"},
    "linear": {"learned_from": "projected", "projector": "linear"},
    "vkd": {"learned_from": "projected", "projector": "orthogonal"},
}
