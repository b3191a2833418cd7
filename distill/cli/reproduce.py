"""`distill reproduce`: the paper's tables and figures."""

import argparse
from pathlib import Path

from rich.console import Console

from distill import reproduce
from distill.cli import options
from distill.report.table import for_terminal


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "reproduce", "make a table or figure of the paper", _reproduce)
    parser.add_argument("experiment", help="one of the names below")
    options.add_recipe(parser)
    parser.add_argument("--seeds", type=options.positive, metavar="N", help="seeds 0 … N-1 (default: the number below)")
    parser.add_argument("--out", type=Path, help="folder of runs and pictures (default runs/reproduce-TASK-RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on, or draw a finished experiment anew")
    options.add_executor(parser)
    listed = [f"  {name:<18}{each.title}; {each.seeds} seeds" for name, each in reproduce.EXPERIMENTS.items()]
    parser.epilog = "\n".join(["experiments, which share runs in one folder:", *listed])


def _reproduce(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    experiment = reproduce.get(arguments.experiment)
    recipe, named = options.recipe_and_name(arguments, experiment.task)
    full = reproduce.RECIPES[experiment.task].get(recipe, recipe)
    config = options.compared_config(experiment.task, full, keys, varied=("seed", *experiment.varied))
    folder = arguments.out or options.RUNS / f"reproduce-{experiment.task}-{named}"
    finding = reproduce.reproduce(
        arguments.experiment,
        experiment,
        config,
        recipe=named,
        seeds=arguments.seeds or experiment.seeds,
        folder=folder,
        # A resumed run ends with the same figures: the command that makes them is the one without.
        command=["distill", *(word for word in words if word != "--resume")],
        executor=options.executor(arguments),
        resume=arguments.resume,
    )
    Console().print(for_terminal(finding.table, experiment.title))
    for sentence in finding.sentences:
        print(sentence)
    print(f"picture: {folder / arguments.experiment / f'{arguments.experiment}.png'}")
    return 0
