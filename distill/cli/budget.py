"""`distill budget`: what a step costs on a V100, and how well that is known."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from distill.budget import printed, sheet
from distill.budget.calibrate import calibrate
from distill.budget.explain import explain_run
from distill.cli import options
from distill.errors import RecipeError
from distill.run_folder import is_finished, read_summary


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its own two."""
    summary = "what a step costs on a V100, and how well that is known"
    group = commands.add_parser("budget", help=summary, description=f"{summary.capitalize()}.")
    kinds = group.add_subparsers(dest="kind", required=True, metavar="COMMAND")
    parser = options.parser(kinds, "calibrate", "measure this machine and predict reference steps on it", _calibrate)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--threads", type=options.positive, default=1, help="CPU threads (default 1, by the thread's own clock)"
    )
    parser.add_argument("--rounds", type=options.positive, default=7, help="turns of every step (default 7)")
    parser.add_argument("--out", type=Path, help="write sheet and figures as JSON")
    parser = options.parser(kinds, "explain", "print where the seconds of a run's step go on a V100", _explain)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--sheet", type=Path, help="a file of calibrate's: predict for that machine instead")


def _calibrate(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("budget calibrate", keys)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("--device", "a device of this machine", "cuda", cure="leave it out for the CPU")
    torch.set_num_threads(arguments.threads)
    found = calibrate(arguments.device, rounds=arguments.rounds)
    _say(printed.calibration(found))
    if arguments.out is not None:
        printed.write_calibration(found, arguments.out)
    return 0


def _explain(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    options.refuse("budget explain", keys)
    machine = sheet.read(arguments.sheet) if arguments.sheet else sheet.V100
    _say(printed.explanation(explain_run(arguments.run, machine)))
    if is_finished(arguments.run):
        print(printed.spending(read_summary(arguments.run)))
    return 0


def _say(lines: Sequence[Table | str]) -> None:
    for line in lines:
        Console().print(line, highlight=False, soft_wrap=isinstance(line, str))
