"""What the values of a generation recipe's data, teacher, distillation and metrics must satisfy, and their names."""

from collections.abc import Sequence
from dataclasses import astuple
from operator import attrgetter

import stiefel
from distill import budget, losses, models, normalise, projector
from distill.errors import RecipeError
from distill.generation import data
from distill.generation.config import DISTILLATIONS, EXTRACTORS, PREPROCESSINGS, REFERENCES, GenerationConfig
from distill.generation.teachers import TRAINED_HERE, is_clip
from distill.validation import at_least, check_optimiser, check_seed

_UNLABELLED = "shots"


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "distillation": DISTILLATIONS,
        "projector": projector.names(),
        "normalise": normalise.names(),
        "loss": losses.names(),
        "data.name": data.names(),
        "teacher.preprocessing": PREPROCESSINGS,
        "teacher.optimiser.name": stiefel.optim.names(),
        "metrics.extractor": EXTRACTORS,
        "metrics.reference": REFERENCES,
    }


def validate(config: GenerationConfig) -> None:
    """Check every value that its type and the rules for all tasks don't.

    Raises: RecipeError naming the key, BudgetError, ModelError for an unknown teacher.
    """
    stiefel.get(config.parameterisation)
    for key in ("kd_dlgan.aggregated", "kd_dlgan.correlated", "kd_dlgan.diversity", "alpha"):
        at_least(key, attrgetter(key)(config), 0)
    for key in (
        "data.image_size",
        "data.workers",
        "data.shots",
        "teacher.width",
        "teacher.image_size",
        "metrics.width",
    ):
        at_least(key, attrgetter(key)(config), 0)
    for key, least in (("data.batch_size", 2), ("metrics.neighbours", 1), ("metrics.samples", 20)):
        at_least(key, attrgetter(key)(config), least)
    if not 0 <= config.whitening.shrinkage < 1:
        raise RecipeError("whitening.shrinkage", "0 <= shrinkage < 1", config.whitening.shrinkage)
    if not 0 < config.whitening.momentum <= 1:
        raise RecipeError("whitening.momentum", "0 < momentum <= 1", config.whitening.momentum)
    at_least("whitening.groups", config.whitening.groups, 1)
    if not 0 < config.data.fraction <= 1:
        raise RecipeError("data.fraction", "a share above 0, at most 1", config.data.fraction)
    if config.distillation == "kd_dlgan" and config.alpha > 0 and not any(astuple(config.kd_dlgan)):
        raise RecipeError("kd_dlgan.aggregated", "one of KD-DLGAN's weights above 0, or alpha 0", 0)
    _check_teacher(config)
    _check_metrics(config)


def check_classes(config: GenerationConfig, classes: int) -> None:
    """Check that a teacher and a judge that are trained here have classes to tell apart.

    Raises: RecipeError.
    """
    if classes > 1 or config.data.name in data.FEW_SHOT:  # faces are told from backgrounds
        return
    if config.metrics.extractor == "classifier":
        expected = "inception for images of a single class, which teach a classifier nothing"
        raise RecipeError("metrics.extractor", expected, config.metrics.extractor)
    if config.alpha > 0 and config.teacher.weights == TRAINED_HERE and not is_clip(config.teacher.name):
        expected = "pretrained, a path, or a clip: name for images of a single class"
        raise RecipeError("teacher.weights", expected, config.teacher.weights)


def _check_teacher(config: GenerationConfig) -> None:
    keys = config.teacher
    check_seed("teacher.seed", keys.seed)
    check_optimiser("teacher.optimiser", keys.optimiser)
    budget.parse(keys.budget)
    if is_clip(keys.name):
        return
    models.check("teacher", keys.name, {"width": keys.width} if keys.width else {})
    if keys.weights == TRAINED_HERE and config.data.name == _UNLABELLED and config.alpha > 0:
        raise RecipeError("teacher.weights", "pretrained, a path, or a clip: name for images without labels", "train")
    if keys.image_size and keys.weights == TRAINED_HERE:
        raise RecipeError("teacher.image_size", "0 for a teacher that is trained here", keys.image_size)


def _check_metrics(config: GenerationConfig) -> None:
    keys = config.metrics
    check_seed("metrics.seed", keys.seed)
    budget.parse(keys.budget)
    if keys.extractor == "inception":
        if not keys.weights:
            raise RecipeError("metrics.weights", "the path of Inception's published state dict", keys.weights)
        return
    if keys.weights:
        raise RecipeError("metrics.weights", "nothing for a classifier, which is trained here", keys.weights)
    if config.data.name == _UNLABELLED:
        raise RecipeError("metrics.extractor", "inception for images without labels", keys.extractor)
    if config.teacher.weights == TRAINED_HERE and config.teacher.seed == keys.seed:
        raise RecipeError("metrics.seed", "another seed than the teacher's: the judge is never the teacher", keys.seed)
