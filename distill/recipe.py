"""Recipes: YAML files, and flags over them, turned into a validated `Config`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

import stiefel
from distill import tasks, validation
from distill.config import Config, flat
from distill.errors import RecipeError, RecipeFileError
from distill.task import RecipeTask

_SAID = {"int": "a whole number", "float": "a number", "str": "a word", "bool": "true or false"}


def load(task: str, recipe: str, overrides: Sequence[str] = ()) -> Config:
    """Return the config of a recipe (a name of the task's, or a path to a YAML file) with flags over it.

    `overrides` are command-line words: --alpha 2 --student.width 64. `method` stands for the keys that
    the task's methods list; the recipe's and the flags' own keys go over them.
    Raises: RecipeFileError, RecipeError naming the key and the file, BudgetError, and the errors of unknown names.
    """
    kind = tasks.get(task)
    content = _read(task, recipe)
    try:
        own = _method(kind, str(content.pop("method"))) if "method" in content else []
        return _build(kind, [*own, *_flags(content), *_expanded(kind, overrides)])
    except RecipeError as error:
        if any(word.split("=")[0] == f"--{error.key}" for word in overrides) or error.key in overrides:
            raise
        raise error.found_in(recipe) from error


def read(path: Path) -> tuple[str, Config]:
    """Return (task name, config) of a run's config.yaml.

    Raises: RecipeFileError, RecipeError.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise RecipeFileError(path, f"it can't be read ({error})", cure="give a run folder") from error


def parse(text: str, where: str | Path) -> tuple[str, Config]:
    """Return (task name, config) of the text of a config.yaml; `where` it comes from is named in errors.

    Raises: RecipeFileError, RecipeError.
    """
    content = _mapping(where, text)
    if "task" not in content:
        reason = "it names no task, as a teacher's or a judge's own doesn't"
        raise RecipeFileError(where, reason, cure="give the folder of the run that it belongs to")
    many = content.keys() & {"compare", "reproduce"}
    if many:
        raise RecipeFileError(where, f"it is what {many.pop()} was asked for", cure="give one of the folders in runs/")
    task = str(content.pop("task"))
    return task, _build(tasks.get(task), _flags(content))


def to_yaml(config: Config) -> str:
    """Return the config as YAML that `read` turns back into an equal one."""
    return yaml.safe_dump(asdict(config), sort_keys=False)


def keys_help() -> str:
    """Return the keys of every task's recipes for `--help`: a line each, with its default and the names it takes."""
    return "\n\n".join(f"keys of {task} recipes, each of which is a flag:\n{_keys(task)}" for task in tasks.TASKS)


def recipes(task: str) -> list[str]:
    """Return the names of the recipes that come with a task."""
    folder = _folder(task)
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _keys(task: str) -> str:
    kind = tasks.get(task)
    taken = _names(kind) | {"parameterisation": [*stiefel.names(), "module:Class"], "method": sorted(kind.methods)}
    lines = []
    for flag in ["--method", *_flags(asdict(kind.config()))]:
        key = flag.removeprefix("--").split("=")[0]
        lines.append(f"  {flag:<38}{', '.join(taken.get(key, []))}".rstrip())
    return "\n".join(lines)


def _read(task: str, recipe: str) -> dict[str, Any]:
    if recipe in recipes(task):
        return _mapping(recipe, (_folder(task) / f"{recipe}.yaml").read_text("utf-8"))
    cure = f"name one of {', '.join(recipes(task))} or give the path of a YAML file"
    try:
        return _mapping(recipe, Path(recipe).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeFileError(recipe, f"it is neither a known name nor a readable file ({error})", cure=cure) from error


def _folder(task: str) -> Path:
    return Path(str(resources.files("distill"))) / "recipes" / task


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


def _flags(content: Mapping[str, Any]) -> list[str]:
    """Return a nested mapping as flags, so that a recipe and the command line are checked by the same parser."""
    return [f"--{key}={value}" for key, value in flat(content).items()]


def _names(kind: type[RecipeTask]) -> dict[str, Sequence[str]]:
    return {**validation.choices(), **kind.choices()}


def _method(kind: type[RecipeTask], name: str) -> list[str]:
    if name not in kind.methods:
        raise RecipeError("method", f"one of {', '.join(sorted(kind.methods))}", name)
    return _flags(kind.methods[name])


def _expanded(kind: type[RecipeTask], words: Sequence[str]) -> list[str]:
    """Return flags in full, --method's keys standing first: a flag beside it changes one of them."""
    keys, others = [], []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag == "--method":
            keys += _method(kind, value if equals else next(rest, "nothing"))
        elif flag.removeprefix("--") in kind.short:
            others.append(f"--{kind.short[flag.removeprefix('--')]}{equals}{value}")
        else:
            others.append(word)
    return keys + others


def _parser(kind: type[RecipeTask]) -> ArgumentParser:
    parser = ArgumentParser(prog="distill", exit_on_error=False, add_help=False)
    parser.add_class_arguments(kind.config, as_group=False)
    return parser


def _build(kind: type[RecipeTask], flags: Sequence[str]) -> Config:
    parser = _parser(kind)
    _refuse_unknown(kind, flags)
    try:
        config = parser.instantiate(parser.parse_args(list(flags)))
    except ArgumentError as error:
        raise _blame(error) from error
    built = kind.config(**vars(config))
    validation.validate(built, _names(kind))
    kind.validate(built)
    return built


def _refuse_unknown(kind: type[RecipeTask], flags: Sequence[str]) -> None:
    """Raise RecipeError for the first word that names no key: jsonargparse's own message doesn't list the keys."""
    known = ["method"] + [flag.removeprefix("--").split("=")[0] for flag in _flags(asdict(kind.config()))]
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
