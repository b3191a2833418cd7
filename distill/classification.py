"""What the values of a classification recipe must satisfy, and the names that its keys take."""

import math
from collections.abc import Sequence
from operator import attrgetter

import stiefel
from distill import budget, cache, data, layers, losses, models, normalise, projector
from distill.config import HEADS, SCHEDULES, TEACHER_LABELS, TOKENS, ClassificationConfig, Data
from distill.data import transforms
from distill.errors import RecipeError
from distill.validation import at_least, check_optimiser, check_parts, check_seed


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "projector": projector.names(),
        "normalise": normalise.names(),
        "loss": losses.names(),
        "tokens": TOKENS,
        "head": HEADS,
        "teacher_labels": TEACHER_LABELS,
        "data.name": tuple(data.DATASETS),
        "data.augment": transforms.names(),
        "data.normalisation": tuple(transforms.NORMALISATIONS),
        "teacher.optimiser.name": stiefel.optim.names(),
        "teacher.optimiser.schedule": SCHEDULES,
    }


def validate(config: ClassificationConfig) -> None:
    """Check every value of a config that its type and the rules for all tasks don't.

    Raises: RecipeError naming the key, BudgetError.
    """
    check_seed("teacher.seed", config.teacher.seed)
    check_optimiser("teacher.optimiser", config.teacher.optimiser)
    for key in ("gamma", "label_weight"):
        at_least(key, attrgetter(key)(config), 0)
    if not 0 < config.temperature < math.inf:
        raise RecipeError("temperature", "a finite number above 0", config.temperature)
    if config.alpha + config.gamma + config.label_weight == 0:
        raise RecipeError("label_weight", "a weight above 0 where alpha and gamma are 0", config.label_weight)
    if config.head == "teacher" and config.alpha > 0:
        _check_reused_head(config)
    if layers.parse(config.layers) != layers.parse(layers.FINAL) and config.scale.compile:
        # Dynamo doesn't see hooks that come and go.
        raise RecipeError("scale.compile", "false with layers other than final", config.scale.compile)
    if config.teacher.cache:
        cache.check_fixed(config.data)
    check_parts(config, "data.batch_size", config.data.batch_size)
    check_parts(config, "data.unlabelled", config.data.unlabelled)
    for role, model in (("teacher", config.teacher), ("student", config.student)):
        for key, value in model.shape.items():
            at_least(f"{role}.{key}", value, 1)
        models.check(role, model.name, model.shape)
    if not config.teacher.weights:
        raise RecipeError("teacher.weights", "train, pretrained or a path", config.teacher.weights)
    _check_data(config.data)
    budget.parse(config.teacher.budget)


def idle(config: ClassificationConfig) -> list[str]:
    """Return the keys that change nothing in a run of this config."""
    found = []
    if config.alpha == 0:
        found += ["projector", "normalise", "loss", "layers", "tokens", "head"]
    if config.alpha == 0 or config.projector != "orthogonal":
        found.append("parameterisation")
    if config.gamma == 0:
        found += ["teacher_labels", "temperature"]
    if config.alpha == 0 and config.gamma == 0:
        found += ["teacher", "data.unlabelled", "scale.shard_teacher"]
    return found


def _check_reused_head(config: ClassificationConfig) -> None:
    """SimKD's head reads what the teacher's own does: its pooled, final features as they are."""
    needed = {"normalise": "none", "tokens": "pooled", "layers": "final"}
    for key, value in needed.items():
        if attrgetter(key)(config) != value:
            raise RecipeError(key, f"{value} with head: teacher", attrgetter(key)(config))
    if config.scale.average:
        raise RecipeError("scale.average", "0 with head: teacher, whose projector isn't averaged", config.scale.average)
    if config.scale.shard_teacher:
        raise RecipeError("scale.shard_teacher", "false with head: teacher, which checkpoints hold whole", True)


def _check_data(data: Data) -> None:
    for key, least in (("batch_size", 2), ("repeats", 1)):
        at_least(f"data.{key}", getattr(data, key), least)
    for key in ("image_size", "workers", "labels_per_class", "unlabelled", "shift", "color_jitter", "mixup", "cutmix"):
        at_least(f"data.{key}", getattr(data, key), 0)
    for key in ("erasing", "mix_prob", "mix_switch", "label_smoothing"):
        if not 0 <= getattr(data, key) <= 1:
            raise RecipeError(f"data.{key}", "a share, 0 to 1", getattr(data, key))
    for key in ("crop_scale", "cropped_share"):
        if not 0 < getattr(data, key) <= 1:
            raise RecipeError(f"data.{key}", "a share of an image above 0, at most 1", getattr(data, key))
