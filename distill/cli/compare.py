"""`distill compare`: every method over several seeds, one table, one page."""

import argparse
from pathlib import Path

from rich.console import Console

from distill import grid, report
from distill.budget import printed
from distill.cli import options
from distill.compare import compare
from distill.processes import is_first_process
from distill.report.latex import as_latex
from distill.report.verdict import verdict
from distill.run_folder import write_atomically
from stiefel.console import UsageError

_TABLE = "table.tex"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "compare", "train every method over several seeds and write a report", _compare)
    options.add_run(parser)
    parser.add_argument("--seeds", type=options.positive, default=3, metavar="N", help="seeds 0 … N-1 (default 3)")
    options.add_executor(parser)
    rates = "tune each method's learning rate first, with seed N, within the budget of one run more"
    parser.add_argument("--tune-lr", action="store_true", help=f"{rates} (default: the recipe's, alike for all)")
    sheets = f"a file of `distill budget calibrate --out`, shown beside predictions (default {printed.CALIBRATION})"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=sheets)
    parser.add_argument("--latex", action="store_true", help=f"write {_TABLE} (booktabs) beside the page")
    parser.epilog = f"the grid: {grid.HELP}"


def _compare(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    recipe, named = options.recipe_and_name(arguments, arguments.task)
    config, methods = grid.parse(arguments.task, recipe, keys)
    if arguments.tune_lr and any("optimiser.lr" in method.varied for method in methods):
        raise UsageError("expected --tune-lr or several values of --optimiser.lr, got both; leave one out")
    trust = printed.trust(arguments.calibration)
    folder = arguments.run or options.RUNS / f"compare-{arguments.task}-{named}"
    comparison = compare(
        arguments.task,
        named,
        config,
        methods,
        range(arguments.seeds),
        folder,
        # A resumed comparison ends with the same figures: the command that makes them is the one without.
        command=["distill", *(word for word in words if word != "--resume")],
        executor=options.executor(arguments),
        tunes_rate=arguments.tune_lr,
        trust=trust,
        resume=arguments.resume,
    )
    if arguments.latex and is_first_process():
        write_atomically(folder / _TABLE, as_latex(comparison))
    Console().print(report.console_table(comparison))
    for sentence in [*verdict(comparison), *comparison.notes, *comparison.trust]:
        print(sentence)
    print(f"report: {folder / report.PAGE}")
    return 0
