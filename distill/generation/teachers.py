"""The frozen networks of a generation run: the teacher, what stands for its texts, and the judge of its samples.

A teacher that is trained here sees every training image of the data set with its label, as a published one has seen
far more: with a fraction of the images, a distilled GAN learns, through it, of images that it never sees itself. The
judge is trained alike from another seed; it is never the teacher, in whose own features a distilled GAN would shine.
"""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from distill import extras, models
from distill.config import ClassificationConfig, Data, Optimiser, Teacher
from distill.data import Source
from distill.generation.config import GenerationConfig
from distill.generation.data import source_keys
from distill.generation.encoders import BackboneEncoder, ClipEncoder, Encoder, load_clip, text_features
from distill.generation.extractors import ClassifierExtractor, Extractor
from distill.generation.inception import Inception
from distill.models import Backbone
from distill.processes import Processes
from distill.teacher import taught_by

TRAINED_HERE = "train"
_CLIP = "clip:"
_BATCH = 64  # of a classifier that is trained here
_STAND_INS = 100  # images that stand for texts where there are no classes


def is_clip(name: str) -> bool:
    """Whether a teacher's name is a CLIP's."""
    return name.startswith(_CLIP)


def encoder_of(config: GenerationConfig, train: Source, folder: Path, processes: Processes) -> Encoder:
    """Return the recipe's teacher; one that is trained here is trained in `folder`, if it isn't yet.

    Raises: RunFolderError if the folder holds a teacher of another recipe; ModelError; MissingExtraError.
    """
    keys = config.teacher
    if is_clip(keys.name):
        model = load_clip(keys.name.removeprefix(_CLIP))
        return ClipEncoder(model, preprocessing=keys.preprocessing).to(processes.device)
    if keys.weights == TRAINED_HERE:
        teacher = Teacher(
            name=keys.name, width=keys.width, budget=keys.budget, seed=keys.seed, optimiser=keys.optimiser
        )
        return BackboneEncoder(_classifier(config, teacher, folder, processes)).to(processes.device)
    backbone = models.build(
        keys.name,
        classes=train.classes,
        image_size=keys.image_size or train.image_size,
        channels=train.channels,
        weights=keys.weights,
        shape={"width": keys.width} if keys.width else {},
        keep_head=True,
    )
    return BackboneEncoder(backbone).to(processes.device)


def untaught(config: GenerationConfig, train: Source) -> Encoder:
    """Return a teacher of the recipe's widths that knows nothing: enough to check a recipe; a CLIP is loaded."""
    alone = Processes(device=config.device, is_alone=True)
    keys = replace(config.teacher, weights="" if config.teacher.weights == TRAINED_HERE else config.teacher.weights)
    return encoder_of(replace(config, teacher=keys), train, Path(), alone)


def recipe_of(config: GenerationConfig) -> str:
    """Return all that the teacher and the judge of a recipe depend on, as text."""
    images = asdict(_images(config))
    del images["workers"]
    return str((asdict(config.teacher), asdict(config.metrics), images, config.device))


def texts_of(config: GenerationConfig, encoder: Encoder, train: Source) -> Float[Tensor, "classes dim"]:
    """Return a feature a class in the teacher's space: KD-DLGAN's texts.

    A CLIP gives those of prompts with this data set's class names. Another teacher reads no texts: the mean of its
    features of each class's training images stands in; and where the images have one class alone, with or without a
    CLIP, up to 100 of the images themselves.
    """
    if is_clip(config.teacher.name) and train.classes > 1 and train.class_names:
        name = config.teacher.name.removeprefix(_CLIP)
        return text_features(load_clip(name), name, train.class_names)
    # Labels come with the features: images that can't be decoded are left out of both.
    batches = [(encoder(each["pixels"]), each["labels"]) for each in train.evaluation(config.data.batch_size)]
    features, labels = (torch.cat(each) for each in zip(*batches, strict=True))
    if train.classes < 2:
        return features[:_STAND_INS]
    return torch.stack([features[labels == label].mean(0) for label in labels.unique().tolist()])


def check_judge(config: GenerationConfig) -> None:
    """Check that samples can be judged; else it is found at the first evaluation, when hours are spent already.

    Raises: MissingExtraError without torchmetrics; ModelError for Inception's weights.
    """
    extras.load("torchmetrics", needed_by="the Fréchet distance")
    if config.metrics.extractor == "inception":
        Inception(config.metrics.weights)


def judge_of(config: GenerationConfig, folder: Path, processes: Processes) -> Extractor:
    """Return the network whose features samples are judged in; a classifier is trained in `folder`, if it isn't yet.

    Raises: ModelError for Inception's weights; RunFolderError.
    """
    keys = config.metrics
    if keys.extractor == "inception":
        return Inception(keys.weights).to(processes.device)
    judge = Teacher(width=keys.width, budget=keys.budget, seed=keys.seed, optimiser=Optimiser())
    classifier = _classifier(config, judge, folder, processes)
    return ClassifierExtractor(classifier, distance_label(config)).to(processes.device)


def distance_label(config: GenerationConfig) -> str:
    """Return what the recipe's Fréchet distance is called: FID in Inception's features alone."""
    is_inception = config.metrics.extractor == "inception"
    return Inception.label if is_inception else f"Fréchet distance in a {config.data.name} classifier's features"


def _classifier(config: GenerationConfig, teacher: Teacher, folder: Path, processes: Processes) -> Backbone:
    """Return a classifier trained on every training image of the data set, with labels."""
    recipe = ClassificationConfig(data=_images(config), teacher=teacher, device=config.device)
    return taught_by(recipe, folder, processes)


def _images(config: GenerationConfig) -> Data:
    """Return the keys of the images that a classifier is trained on: all of them, whatever share is learnt from."""
    return replace(source_keys(config.data), batch_size=_BATCH)
