"""What the values of a config must satisfy beyond their types, and the names that its keys take."""

import math
from collections.abc import Sequence
from operator import attrgetter

import torch

import stiefel
from distill import budget, cache, data, layers, losses, models, normalise, projector
from distill.config import HEADS, PRECISIONS, TEACHER_LABELS, TOKENS, Config, Data
from distill.data import transforms
from distill.errors import RecipeError

_SEEDS = 2**31


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "projector": projector.names(),
        "normalise": normalise.names(),
        "loss": losses.names(),
        "tokens": TOKENS,
        "head": HEADS,
        "teacher_labels": TEACHER_LABELS,
        "precision": PRECISIONS,
        "data.name": tuple(data.DATASETS),
        "data.augment": transforms.names(),
        "data.normalisation": tuple(transforms.NORMALISATIONS),
        "optimiser.name": stiefel.optim.names(),
        "teacher.optimiser.name": stiefel.optim.names(),
    }


def validate(config: Config) -> None:
    """Check every value of a config that its type doesn't.

    Raises: RecipeError naming the key, BudgetError, and the errors of an unknown parameterisation.
    """
    stiefel.get(config.parameterisation)
    for key, names in choices().items():
        _one_of(key, attrgetter(key)(config), names)
    for key, seed in (("seed", config.seed), ("teacher.seed", config.teacher.seed)):
        if not 0 <= seed < _SEEDS:
            raise RecipeError(key, f"a whole number from 0 to {_SEEDS - 1}", seed)
    for key, optimiser in (("optimiser", config.optimiser), ("teacher.optimiser", config.teacher.optimiser)):
        _at_least(f"{key}.weight_decay", optimiser.weight_decay, 0)
        _at_least(f"{key}.clip_norm", optimiser.clip_norm, 0)
        _at_least(f"{key}.lr_batch", optimiser.lr_batch, 0)
        if not 0 < optimiser.lr < math.inf:
            raise RecipeError(f"{key}.lr", "a finite number above 0", optimiser.lr)
        if not 0 <= optimiser.warmup < 1:
            raise RecipeError(f"{key}.warmup", "a share of the steps, 0 <= warmup < 1", optimiser.warmup)
    _at_least("threads", config.threads, 0)
    for key in ("alpha", "gamma", "label_weight"):
        _at_least(key, attrgetter(key)(config), 0)
    if not 0 < config.temperature < math.inf:
        raise RecipeError("temperature", "a finite number above 0", config.temperature)
    if config.alpha + config.gamma + config.label_weight == 0:
        raise RecipeError("label_weight", "a weight above 0 where alpha and gamma are 0", config.label_weight)
    if config.head == "teacher" and config.alpha > 0:
        _validate_reused_head(config)
    if layers.parse(config.layers) != layers.parse(layers.FINAL) and config.scale.compile:
        # Dynamo doesn't see hooks that come and go.
        raise RecipeError("scale.compile", "false with layers other than final", config.scale.compile)
    if config.teacher.cache:
        cache.check_fixed(config.data)
    _validate_scale(config)
    for role, model in (("teacher", config.teacher), ("student", config.student)):
        for key, value in model.shape.items():
            _at_least(f"{role}.{key}", value, 1)
        models.check(role, model.name, model.shape)
    if not config.teacher.weights:
        raise RecipeError("teacher.weights", "train, pretrained or a path", config.teacher.weights)
    _at_least("evaluations", config.evaluations, 1)
    _check_data(config.data)
    budget.parse(config.teacher.budget)
    if budget.parse(config.budget).unit in budget.TRACED and config.scale.compile:
        # The operators of a compiled step can't be seen one by one.
        raise RecipeError("scale.compile", f"false with the budget {config.budget}", config.scale.compile)
    _check_device(config.device)


def _validate_reused_head(config: Config) -> None:
    """SimKD's head reads what the teacher's own does: its pooled, final features as they are."""
    needed = {"normalise": "none", "tokens": "pooled", "layers": "final"}
    for key, value in needed.items():
        if attrgetter(key)(config) != value:
            raise RecipeError(key, f"{value} with head: teacher", attrgetter(key)(config))


def _validate_scale(config: Config) -> None:
    scale = config.scale
    _at_least("scale.devices", scale.devices, 1)
    _at_least("scale.accumulate", scale.accumulate, 1)
    if not 0 <= scale.average < 1:
        raise RecipeError("scale.average", "a decay, 0 <= average < 1", scale.average)
    if scale.average and config.head == "teacher":
        raise RecipeError("scale.average", "0 with head: teacher, whose projector isn't averaged", scale.average)
    if scale.shard_teacher and config.head == "teacher":
        raise RecipeError("scale.shard_teacher", "false with head: teacher, which checkpoints hold whole", True)
    parts = scale.devices * scale.accumulate
    for key, size in (("data.batch_size", config.data.batch_size), ("data.unlabelled", config.data.unlabelled)):
        if size % parts:
            raise RecipeError(key, f"a multiple of scale.devices · scale.accumulate = {parts}", size)
    if config.precision == "float16" and config.device.split(":")[0] != "cuda":
        raise RecipeError("precision", "float32 or bfloat16, as float16 needs a CUDA device", config.precision)


def _check_data(data: Data) -> None:
    for key, least in (("batch_size", 2), ("repeats", 1)):
        _at_least(f"data.{key}", getattr(data, key), least)
    for key in ("image_size", "workers", "labels_per_class", "unlabelled", "shift", "color_jitter", "mixup", "cutmix"):
        _at_least(f"data.{key}", getattr(data, key), 0)
    for key in ("erasing", "mix_prob", "mix_switch", "label_smoothing"):
        if not 0 <= getattr(data, key) <= 1:
            raise RecipeError(f"data.{key}", "a share, 0 to 1", getattr(data, key))
    for key in ("crop_scale", "cropped_share"):
        if not 0 < getattr(data, key) <= 1:
            raise RecipeError(f"data.{key}", "a share of an image above 0, at most 1", getattr(data, key))


def _one_of(key: str, value: str, names: Sequence[str]) -> None:
    if value not in names:
        raise RecipeError(key, f"one of {', '.join(names)}", value)


def _at_least(key: str, value: float, least: int) -> None:
    # Written so that NaN, which compares false with everything, is refused.
    if not least <= value < math.inf:
        raise RecipeError(key, f"a finite number >= {least}", value)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError("device", "a device of this machine, such as cpu or cuda", device) from error
