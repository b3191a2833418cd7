"""What a run is made from: typed dataclasses, read from a YAML recipe and the flags over it, validated once."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser

import stiefel
from distill import budget, losses, normalise, projector
from distill.errors import RecipeError, RecipeFileError

PRECISIONS = ("float32", "bfloat16")

_SEEDS = 2**31
_SAID = {"int": "a whole number", "float": "a number", "str": "a word"}


@dataclass(frozen=True)
class Optimiser:
    """name: adam, adamw or sgd. lr: peak of a cosine schedule. warmup: its share of the steps. clip_norm: 0 is off."""

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0


@dataclass(frozen=True)
class Data:
    """name: the data set. labels_per_class: how many labelled images the student sees. shift: augmentation, pixels.

    batch_size: labelled images a step. unlabelled: training images a step, from all of them, that are seen
    without their labels and carry the distillation losses alone; 0 for none.
    """

    name: str = "digits"
    labels_per_class: int = 10
    batch_size: int = 64
    unlabelled: int = 0
    shift: int = 1


@dataclass(frozen=True)
class Teacher:
    """The convolutional teacher, trained on every training image with labels. width: of its first layer."""

    width: int = 32
    budget: str = "epochs:30"
    seed: int = 0
    optimiser: Optimiser = field(default_factory=Optimiser)


@dataclass(frozen=True)
class Student:
    """A vision transformer of DeiT's shape. width: of its tokens. patch: edge of a patch in pixels."""

    width: int = 32
    depth: int = 2
    heads: int = 4
    patch: int = 2


@dataclass(frozen=True)
class Config:
    """A classification run.

    projector, parameterisation, normalise, loss: the feature distillation. alpha: its weight, 0 for none.
    gamma: weight of the teacher's soft labels on the distillation head, 0 for none. budget: steps:N or epochs:N.
    evaluations: how often the run is evaluated and checkpointed, the last time at its end.
    threads: CPU threads of torch, 0 for its own choice; a small model is quickest, and undisturbed, on one.
    """

    projector: str = "orthogonal"
    parameterisation: str = "cayley"
    normalise: str = "standardise"
    loss: str = "smooth_l1"
    alpha: float = 1.0
    gamma: float = 0.0
    budget: str = "steps:600"
    seed: int = 0
    evaluations: int = 20
    threads: int = 0
    device: str = "cpu"
    precision: str = "float32"
    data: Data = field(default_factory=Data)
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)
    optimiser: Optimiser = field(default_factory=Optimiser)


def load(task: str, recipe: str, overrides: Sequence[str] = ()) -> Config:
    """Return the config of a recipe (a name of the task's, or a path to a YAML file) with flags over it.

    `overrides` are command-line words: --alpha 2 --student.width 64.
    Raises: RecipeFileError, RecipeError naming the key and the file, BudgetError, and the errors of unknown names.
    """
    content = _read(task, recipe)
    try:
        return _build([*_flags(content), *overrides])
    except RecipeError as error:
        if any(word.split("=")[0] == f"--{error.key}" for word in overrides) or error.key in overrides:
            raise
        raise error.found_in(recipe) from error


def read(path: Path) -> tuple[str, Config]:
    """Return (task name, config) of a run's config.yaml.

    Raises: RecipeFileError, RecipeError.
    """
    try:
        content = _mapping(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeFileError(path, f"it can't be read ({error})", cure="give a run folder") from error
    return str(content.pop("task", None)), _build(_flags(content))


def to_yaml(config: Config) -> str:
    """Return the config as YAML that `read` turns back into an equal one."""
    return yaml.safe_dump(asdict(config), sort_keys=False)


def keys_help() -> str:
    """Return one line a recipe key, with its default and the names it takes, for `--help`."""
    choices = _choices() | {"parameterisation": [*stiefel.names(), "module:Class"]}
    lines = []
    for flag in _flags(asdict(Config())):
        key = flag.removeprefix("--").split("=")[0]
        lines.append(f"  {flag:<38}{', '.join(choices.get(key, []))}".rstrip())
    return "\n".join(lines)


def recipes(task: str) -> list[str]:
    """Return the names of the recipes that come with a task."""
    folder = resources.files("distill") / "recipes" / task
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _read(task: str, recipe: str) -> dict[str, Any]:
    if recipe in recipes(task):
        return _mapping(recipe, (resources.files("distill") / "recipes" / task / f"{recipe}.yaml").read_text("utf-8"))
    cure = f"name one of {', '.join(recipes(task))} or give the path of a YAML file"
    try:
        return _mapping(recipe, Path(recipe).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeFileError(recipe, f"it is neither a known name nor a readable file ({error})", cure=cure) from error


def _mapping(recipe: str | Path, text: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise RecipeFileError(recipe, f"it isn't valid YAML ({where})", cure="mend that line") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        cure = "write lines such as 'alpha: 1.0'"
        raise RecipeFileError(recipe, f"expected keys and values, got {type(content).__name__}", cure=cure)
    return {str(key): value for key, value in content.items()}


def _flags(content: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a nested mapping as flags, so that a recipe and the command line are checked by the same parser."""
    flags = []
    for key, value in content.items():
        flags += _flags(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"--{prefix}{key}={value}"]
    return flags


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="distill", exit_on_error=False, add_help=False)
    parser.add_class_arguments(Config, as_group=False)
    return parser


def _build(flags: Sequence[str]) -> Config:
    parser = _parser()
    _refuse_unknown(flags)
    try:
        config = parser.instantiate(parser.parse_args(list(flags)))
    except ArgumentError as error:
        raise _blame(error) from error
    built = Config(**vars(config))
    _validate(built)
    return built


def _refuse_unknown(flags: Sequence[str]) -> None:
    """Raise RecipeError for the first word that names no key: jsonargparse's own message doesn't list the keys."""
    known = [flag.removeprefix("--").split("=")[0] for flag in _flags(asdict(Config()))]
    is_value = False
    for word in flags:
        if word.startswith("--"):
            key, equals, value = word.removeprefix("--").partition("=")
            inside = [other for other in known if other.startswith(f"{key}.")]
            if inside:
                raise RecipeError(key, f"its own keys {', '.join(inside)}", value)
            if key not in known:
                raise RecipeError(key, f"one of {', '.join(known)}", key)
            is_value = not equals
        elif is_value:
            is_value = False
        else:
            raise RecipeError(word, "a flag --key value", word)


def _blame(error: ArgumentError) -> RecipeError:
    message = " ".join(str(error).split())
    match = re.match(
        r"Parser key \"(?P<key>[^\"]+)\": Expected a <class '(?P<type>\w+)'>.* Got value: (?P<got>.*)", message
    )
    if match is None:
        key = message.removeprefix("argument --").split(":")[0]
        return RecipeError(key, "a value", "nothing" if message.endswith("expected one argument") else message)
    return RecipeError(match["key"], _SAID[match["type"]], match["got"])


def _choices() -> dict[str, Sequence[str]]:
    """Return the names that a key takes, for each key whose names are known here."""
    return {
        "projector": projector.names(),
        "normalise": normalise.names(),
        "loss": losses.names(),
        "precision": PRECISIONS,
        "optimiser.name": stiefel.optim.names(),
        "teacher.optimiser.name": stiefel.optim.names(),
    }


def _validate(config: Config) -> None:
    stiefel.get(config.parameterisation)
    values = dict(flag.removeprefix("--").split("=", 1) for flag in _flags(asdict(config)))
    for key, choices in _choices().items():
        _one_of(key, values[key], choices)
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
    counts = {"evaluations": config.evaluations, "teacher.width": config.teacher.width}
    counts |= {f"student.{key}": value for key, value in asdict(config.student).items()}
    counts |= {"data.labels_per_class": config.data.labels_per_class}
    for key, value in counts.items():
        _at_least(key, value, 1)
    _at_least("data.batch_size", config.data.batch_size, 2)
    _at_least("data.unlabelled", config.data.unlabelled, 0)
    _at_least("data.shift", config.data.shift, 0)
    if config.student.width % config.student.heads:
        raise RecipeError("student.heads", f"a divisor of student.width {config.student.width}", config.student.heads)
    budget.parse(config.budget)
    budget.parse(config.teacher.budget)
    _check_device(config.device)


def _one_of(key: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise RecipeError(key, f"one of {', '.join(choices)}", value)


def _at_least(key: str, value: float, least: int) -> None:
    # Written so that NaN, which compares false with everything, is refused.
    if not least <= value < math.inf:
        raise RecipeError(key, f"a finite number >= {least}", value)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError("device", "a device of this machine, such as cpu or cuda", device) from error
