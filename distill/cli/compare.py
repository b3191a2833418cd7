"""`distill compare`: every method over several seeds, one table, one page."""

import argparse
from pathlib import Path

from rich.console import Console

from distill import tasks
from distill.cli import options
from distill.compare import REPORT, compare, entries
from distill.report import console_table
from distill.report.verdict import verdict


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = options.parser(commands, "compare", "train every method over several seeds and write a report", _compare)
    options.add_run(parser)
    names = "comma-separated names of `stiefel list`, or module:Class"
    parser.add_argument("--parameterisation", default="exponential,cayley,riemannian", help=names)
    parser.add_argument("--seeds", type=options.positive, default=3, metavar="N", help="seeds 0 … N-1 (default 3)")


def _compare(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    tasks.get(arguments.task)
    config = options.compared_config(arguments.task, arguments.recipe, keys, varied=("seed", "projector"))
    names = [name.strip() for name in arguments.parameterisation.split(",")]
    methods = entries(list(dict.fromkeys(names)))
    folder = arguments.run or options.RUNS / f"compare-{arguments.task}-{Path(arguments.recipe).stem}"
    comparison = compare(
        arguments.task,
        Path(arguments.recipe).stem,
        config,
        methods,
        range(arguments.seeds),
        folder,
        command=["distill", *words],
        resume=arguments.resume,
    )
    Console().print(console_table(comparison))
    for sentence in [*verdict(comparison), *comparison.notes]:
        print(sentence)
    print(f"report: {folder / REPORT}")
    return 0
