"""What commands share: their parsers' make, the options of a recipe, and how figures are printed."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from distill import executors, tasks
from distill import recipe as recipes
from distill.config import Config
from distill.errors import RecipeError
from distill.executors import Executor
from stiefel import console

RUNS = Path("runs")


def parser(commands: argparse._SubParsersAction, name: str, summary: str, run) -> console.Parser:
    """Return the parser of a new command, which runs `run(arguments, keys, words)`.

    keys: the words that no option took, those of the recipe's keys. words: the whole command line.
    """
    # No abbreviations: `--seed 3` would be read as compare's `--seeds 3`.
    description = f"{summary.capitalize()}."
    made = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.set_defaults(run_command=run)
    return made


def add_run(made: console.Parser) -> None:
    """Add the task, its recipe and the run folder."""
    made.add_argument("task", help=f"one of {', '.join(tasks.TASKS)}")
    add_recipe(made)
    made.add_argument("--run", type=Path, help="the run folder (default: under runs/, named after what is run)")
    made.add_argument("--resume", action="store_true", help="continue the run that the folder holds")


def add_recipe(made: console.Parser) -> None:
    """Add the recipe, and its keys to the help."""
    kinds: dict[str, list[str]] = {}
    for name in tasks.TASKS:
        kinds.setdefault(tasks.get(name).recipe, []).append(name)
    default = ", ".join(f"{recipe} for {' and '.join(names)}" for recipe, names in kinds.items())
    made.add_argument("--recipe", help=f"a recipe of the task's, or a YAML file (default: {default})")
    made.more = recipes.keys_help


def recipe_and_name(arguments: argparse.Namespace, task: str) -> tuple[str, str]:
    """Return the recipe that is asked for, else the task's own, and what folders are named after it.

    Raises: UnknownNameError for a task that there isn't.
    """
    recipe = arguments.recipe or tasks.get(task).recipe
    path = Path(recipe)
    return recipe, path.stem if path.suffix else recipe.replace("/", "-")


def add_executor(made: console.Parser) -> None:
    """Add where runs take place, and every executor's own options."""
    names = ", ".join(executors.EXECUTORS)
    made.add_argument("--executor", default="local", help=f"where the runs take place: {names} (default local)")
    made.add_argument("--workers", type=positive, metavar="N", help="local: runs side by side (default: what fits)")
    retries = "local, ray: how often a run whose process died is tried again (default 2)"
    made.add_argument("--retries", type=whole, metavar="N", help=retries)
    made.add_argument("--ray-address", metavar="ADDRESS", help="ray: a cluster's (default: this machine alone)")
    made.add_argument("--submit", action="store_true", default=None, help="slurm: submit the job array")


def executor(arguments: argparse.Namespace) -> Executor:
    """Return the executor that the options ask for.

    Raises: UnknownNameError; UsageError for an option of another executor's.
    """
    kind = executors.get(arguments.executor)
    taken = {each.name for each in fields(kind)}
    given = {}
    for name in ("workers", "retries", "ray_address", "submit"):
        value = getattr(arguments, name)
        if value is not None and name not in taken:
            option = name.replace("_", "-")
            raise console.UsageError(
                f"--{option} is no option of --executor {arguments.executor}; leave one of them out"
            )
        if value is not None:
            given[name] = value
    return kind(**given)


def compared_config(task: str, recipe: str, keys: list[str], *, varied: Sequence[str]) -> Config:
    """Return the config that all runs of a comparison share.

    Raises: RecipeError for a key that the comparison varies itself; and what `distill.recipe.load` raises.
    """
    short = tasks.get(task).short
    given = {word.split("=")[0].removeprefix("--") for word in keys if word.startswith("--")}
    given |= {short[key] for key in given if key in short}
    for key in varied:
        if key in given:
            raise RecipeError(key, "a key that isn't compared", f"--{key}", cure="it is what the comparison varies")
    config = recipes.load(task, recipe, keys)
    if config.alpha == 0:
        raise RecipeError("alpha", "a weight above 0", config.alpha, cure="a comparison has its own run without")
    return config


def refuse(command: str, keys: list[str]) -> None:
    """Raise UsageError for words that a command without recipe keys can't take."""
    if keys:
        raise console.UsageError(f"unrecognized arguments: {' '.join(keys)}; see 'distill {command} --help'")


def print_figures(figures: Mapping[str, object]) -> None:
    """Print one figure a line."""
    for name, value in figures.items():
        print(f"{name:>16}  {f'{value:.4g}' if isinstance(value, float) else value}")


def whole(text: str) -> int:
    """Return a whole number >= 0, as an option's type.

    Raises: argparse.ArgumentTypeError.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number >= 0, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Return a whole number >= 1, as an option's type.

    Raises: argparse.ArgumentTypeError.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return int(text)
