"""What the values of every task's config must satisfy beyond their types, and the names that their keys take."""

import math
from collections.abc import Sequence
from operator import attrgetter

import torch

import stiefel
from distill import budget
from distill.config import PRECISIONS, SCHEDULES, Config, Optimiser
from distill.errors import RecipeError

_SEEDS = 2**31
_DEVICES = ("cpu", "cuda", "mps")


def choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key of every task whose names are known here."""
    return {"precision": PRECISIONS, "optimiser.name": stiefel.optim.names(), "optimiser.schedule": SCHEDULES}


def validate(config: Config, names: dict[str, Sequence[str]]) -> None:
    """Check the keys that all tasks share; `names` are what keys take, the task's own among them.

    Raises: RecipeError naming the key, BudgetError, and the errors of an unknown parameterisation.
    """
    stiefel.get(config.parameterisation)
    for key, taken in names.items():
        one_of(key, attrgetter(key)(config), taken)
    at_least("alpha", config.alpha, 0)
    check_seed("seed", config.seed)
    check_optimiser("optimiser", config.optimiser)
    at_least("threads", config.threads, 0)
    at_least("evaluations", config.evaluations, 1)
    _check_scale(config)
    if budget.parse(config.budget).unit in budget.TRACED and config.scale.compile:
        # The operators of a compiled step can't be seen one by one.
        raise RecipeError("scale.compile", f"false with the budget {config.budget}", config.scale.compile)
    _check_device(config.device)


def check_optimiser(key: str, optimiser: Optimiser) -> None:
    """Raise RecipeError for an optimiser that can't train."""
    at_least(f"{key}.weight_decay", optimiser.weight_decay, 0)
    at_least(f"{key}.clip_norm", optimiser.clip_norm, 0)
    at_least(f"{key}.lr_batch", optimiser.lr_batch, 0)
    if not 0 < optimiser.lr < math.inf:
        raise RecipeError(f"{key}.lr", "a finite number above 0", optimiser.lr)
    if not 0 <= optimiser.warmup < 1:
        raise RecipeError(f"{key}.warmup", "a share of the steps, 0 <= warmup < 1", optimiser.warmup)
    for beta in ("beta1", "beta2"):
        if not 0 <= getattr(optimiser, beta) < 1:
            raise RecipeError(f"{key}.{beta}", "a decay, 0 to below 1", getattr(optimiser, beta))


def check_parts(config: Config, key: str, size: int) -> None:
    """Raise RecipeError for a number of images a step that doesn't divide among processes and parts."""
    parts = config.scale.devices * config.scale.accumulate
    if size % parts:
        raise RecipeError(key, f"a multiple of scale.devices · scale.accumulate = {parts}", size)


def check_seed(key: str, seed: int) -> None:
    """Raise RecipeError for a seed that random generators don't take."""
    if not 0 <= seed < _SEEDS:
        raise RecipeError(key, f"a whole number from 0 to {_SEEDS - 1}", seed)


def one_of(key: str, value: str, names: Sequence[str]) -> None:
    """Raise RecipeError for a name that isn't among `names`."""
    if value not in names:
        raise RecipeError(key, f"one of {', '.join(names)}", value)


def at_least(key: str, value: float, least: int) -> None:
    """Raise RecipeError for a number that is below `least` or not finite."""
    # Written so that NaN, which compares false with everything, is refused.
    if not least <= value < math.inf:
        raise RecipeError(key, f"a finite number >= {least}", value)


def _check_scale(config: Config) -> None:
    at_least("scale.devices", config.scale.devices, 1)
    at_least("scale.accumulate", config.scale.accumulate, 1)
    if not 0 <= config.scale.average < 1:
        raise RecipeError("scale.average", "a decay, 0 <= average < 1", config.scale.average)
    at_least("scale.average_start", config.scale.average_start, 0)
    if config.precision == "float16" and config.device.split(":")[0] != "cuda":
        raise RecipeError("precision", "float32 or bfloat16, as float16 needs a CUDA device", config.precision)


def _check_device(device: str) -> None:
    expected = "a device of this machine, such as cpu or cuda"
    kind, _, index = device.partition(":")
    if kind not in _DEVICES or (kind == "cpu" and index):  # torch takes more than a run can be on
        raise RecipeError("device", expected, device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError("device", expected, device) from error
