"""What the values of a config must satisfy beyond their types, and the names that its keys take."""

import math
from collections.abc import Sequence
from operator import attrgetter

import torch

import stiefel
from distill import budget, losses, models, normalise, projector
from distill.config import PRECISIONS, Config
from distill.errors import RecipeError

_SEEDS = 2**31


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "projector": projector.names(),
        "normalise": normalise.names(),
        "loss": losses.names(),
        "precision": PRECISIONS,
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
        if not 0 < optimiser.lr < math.inf:
            raise RecipeError(f"{key}.lr", "a finite number above 0", optimiser.lr)
        if not 0 <= optimiser.warmup < 1:
            raise RecipeError(f"{key}.warmup", "a share of the steps, 0 <= warmup < 1", optimiser.warmup)
    _at_least("threads", config.threads, 0)
    _at_least("alpha", config.alpha, 0)
    _at_least("gamma", config.gamma, 0)
    for role, model in (("teacher", config.teacher), ("student", config.student)):
        for key, value in model.shape.items():
            _at_least(f"{role}.{key}", value, 1)
        models.check(role, model.name, model.shape)
    if not config.teacher.weights:
        raise RecipeError("teacher.weights", "train, pretrained or a path", config.teacher.weights)
    counts = {"evaluations": config.evaluations, "data.labels_per_class": config.data.labels_per_class}
    for key, value in counts.items():
        _at_least(key, value, 1)
    _at_least("data.batch_size", config.data.batch_size, 2)
    _at_least("data.unlabelled", config.data.unlabelled, 0)
    _at_least("data.shift", config.data.shift, 0)
    budget.parse(config.budget)
    budget.parse(config.teacher.budget)
    _check_device(config.device)


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
