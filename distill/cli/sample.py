"""`distill sample`: a grid of images from a trained generator."""

import argparse
from pathlib import Path

import torch

from distill import recipe as recipes
from distill.checkpoint import load_average, load_weights
from distill.cli import options
from distill.errors import RecipeError
from distill.generation.config import GenerationConfig
from distill.generation.pictures import save_grid
from distill.run_folder import CONFIG, run_of
from stiefel import console


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "sample", "write images of a trained generator as one PNG", _sample)
    parser.add_argument("source", type=Path, metavar="RUN|CHECKPOINT", help="a run folder, or one of its checkpoints")
    parser.add_argument("--n", type=options.positive, default=64, help="how many images (default 64)")
    parser.add_argument("--columns", type=options.positive, default=8, help="images in a row (default 8)")
    parser.add_argument("--out", type=_png, required=True, metavar="FILE.png", help="the picture")


def _sample(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("sample", keys)
    task_name, config = recipes.read(run_of(arguments.source) / CONFIG)
    if not isinstance(config, GenerationConfig):
        raise RecipeError("task", "a run of generation", task_name, cure="give the folder of one")
    from distill.tasks.generation import Generation  # what only this command needs

    task = Generation.untaught(config)
    state = load_weights(task.module, arguments.source)
    if "average" in state:  # it is what the run's figures are of
        load_average(task.kept, state)
    images = torch.cat(list(task.samples(arguments.n)))
    try:
        save_grid(images, arguments.columns, arguments.out)
    except OSError as error:
        raise console.UsageError(f"can't write {arguments.out} ({error}); give another --out") from error
    print(arguments.out)
    return 0


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .png, got {text!r}")
    return path
