"""`distill train`: one student."""

import argparse

from distill import recipe as recipes
from distill import tasks
from distill.cli import options
from distill.train import train


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    options.add_run(options.parser(commands, "train", "train one student", _train))


def _train(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    recipe, named = options.recipe_and_name(arguments, arguments.task)
    config = recipes.load(arguments.task, recipe, keys)
    method = tasks.get(arguments.task).method_of(config)
    shown = config.parameterisation.replace(":", "-") if method == "vkd" else method
    name = f"{arguments.task}-{named}-{shown}-seed{config.seed}"
    folder = arguments.run or options.RUNS / name
    summary = train(arguments.task, config, folder, resume=arguments.resume)
    options.print_figures(summary)
    print(f"run folder: {folder}")
    return 0
