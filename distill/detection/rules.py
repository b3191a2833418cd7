"""What the values of a detection recipe must satisfy, and the names that its keys take."""

from collections.abc import Sequence

import stiefel
from distill import budget, projector
from distill.config import SCHEDULES
from distill.data.transforms import NORMALISATIONS
from distill.detection import data
from distill.detection.config import AUGMENTATIONS, LEARNED_FROM, DetectionConfig, DetectionData
from distill.detection.models import check
from distill.errors import RecipeError
from distill.validation import at_least, check_optimiser, check_parts, check_seed


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "projector": projector.names(),
        "learned_from": LEARNED_FROM,
        "data.name": tuple(data.DATASETS),
        "data.augment": AUGMENTATIONS,
        "data.normalisation": tuple(NORMALISATIONS),
        "teacher.optimiser.name": stiefel.optim.names(),
        "teacher.optimiser.schedule": SCHEDULES,
    }


def validate(config: DetectionConfig) -> None:
    """Check every value of a config that its type and the rules for all tasks don't.

    Raises: RecipeError naming the key, BudgetError, and the errors of an unknown parameterisation.
    """
    stiefel.get(config.parameterisation)
    for name in (config.teacher.name, config.student.name):
        check(name)
    check_seed("teacher.seed", config.teacher.seed)
    check_optimiser("teacher.optimiser", config.teacher.optimiser)
    at_least("alpha", config.alpha, 0)
    check_parts(config, "data.batch_size", config.data.batch_size)
    budget.parse(config.teacher.budget)
    if not config.teacher.weights:
        raise RecipeError("teacher.weights", "train or a path", config.teacher.weights)
    if config.scale.compile:
        # Matching leaves the graph for the CPU at every step.
        raise RecipeError("scale.compile", "false for detection", config.scale.compile)
    _check_data(config.data)


def idle(config: DetectionConfig) -> list[str]:
    """Return the keys that change nothing in a run of this config."""
    if config.alpha == 0:
        return ["learned_from", "projector", "parameterisation", "affine", "teacher", "scale.shard_teacher"]
    if config.learned_from == "tokens":
        return ["projector", "parameterisation", "affine"]
    return [] if config.projector == "orthogonal" else ["parameterisation"]


def _check_data(wanted: DetectionData) -> None:
    at_least("data.batch_size", wanted.batch_size, 1)
    for key in ("images", "image_size", "workers"):
        at_least(f"data.{key}", getattr(wanted, key), 0)
    if not 0 <= wanted.flip <= 1:
        raise RecipeError("data.flip", "a share, 0 to 1", wanted.flip)
    if 0 < wanted.image_size < 32:
        raise RecipeError("data.image_size", "0 or at least 32, the patch of the coarsest level", wanted.image_size)
