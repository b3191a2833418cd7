"""What a detection run is made from: typed dataclasses."""

from dataclasses import dataclass

AUGMENTATIONS = ("none", "resize_crop")


@dataclass(frozen=True)
class DetectionData:
    """Annotated images, and how they are augmented.

    name: the data set. path: its folder; scenes are drawn into a cache folder where it is empty. images: how many of
    the training images are used, drawn by the run's seed, 0 for all. image_size: the shorter edge in pixels, the
    longer one at most 5/3 of it (COCO's 800 and 1333); 0 for the data set's own. workers: processes that decode files
    ahead; 0 decodes in the run's own. normalisation: by ImageNet's statistics or to half: 0.5 ± 0.5.
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
