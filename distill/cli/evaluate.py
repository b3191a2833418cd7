"""`distill evaluate`: the figures of a trained run."""

import argparse
from pathlib import Path

import torch

from distill import recipe as recipes
from distill import tasks
from distill.checkpoint import load_average, load_weights
from distill.cli import options
from distill.run_folder import read_summary


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "evaluate", "print the figures of a trained run's last checkpoint", _evaluate)
    parser.add_argument("run", type=Path, help="a run folder")


def _evaluate(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("evaluate", keys)
    read_summary(arguments.run)
    task_name, config = recipes.read(arguments.run / "config.yaml")
    if config.threads:  # generation's judge is trained here, and rounds as in the run
        torch.set_num_threads(config.threads)
    task = tasks.get(task_name).untaught(config)
    state = load_weights(task.module, arguments.run)
    if task.is_average_judged and "average" in state:
        load_average(task.kept, state)
    options.print_figures(task.evaluate())
    return 0
