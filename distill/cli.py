"""`distill`: train, evaluate, compare, and the paper's tables and figures.

distill compare classification --recipe digits --parameterisation exponential,cayley,riemannian --seeds 3
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from distill import methods, reproduce, tasks
from distill import recipe as recipes
from distill.budget import printed, sheet
from distill.budget.calibrate import calibrate
from distill.budget.explain import explain_run
from distill.checkpoint import load_weights
from distill.compare import REPORT, compare, entries
from distill.config import Config
from distill.errors import DistillError, InterruptedRunError, RecipeError
from distill.export import export
from distill.processes import is_first_process, leave
from distill.report import console_table
from distill.report.table import for_terminal
from distill.report.verdict import verdict
from distill.run_folder import is_finished, read_summary
from distill.train import train
from stiefel import console
from stiefel.errors import StiefelError

_RUNS = Path("runs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for anything a user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    with nullcontext() if is_first_process() else _silence():
        return leave(console.run("distill", lambda: _dispatch_or_stop(words), (DistillError, StiefelError)))


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what the first process says already; a traceback is printed after this, and seen."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def _dispatch_or_stop(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except InterruptedRunError as stop:
        print(f"distill: {stop}", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    parser = console.Parser(prog="distill", description="Knowledge distillation with orthogonal projections (VkD).")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_compare(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_reproduce(commands)
    _add_budget(commands)
    arguments, keys = parser.parse_known_args(words)
    return arguments.run_command(arguments, keys, words)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "train", "train one student", _train)
    _add_recipe_options(parser)


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "compare", "train every method over several seeds and write a report", _compare)
    _add_recipe_options(parser)
    names = "comma-separated names of `stiefel list`, or module:Class"
    parser.add_argument("--parameterisation", default="exponential,cayley,riemannian", help=names)
    parser.add_argument("--seeds", type=_positive, default=3, metavar="N", help="seeds 0 … N-1 (default 3)")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "evaluate", "print the figures of a trained run's last checkpoint", _evaluate)
    parser.add_argument("run", type=Path, help="a run folder")


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "export", "write a trained student as files that load anywhere", _export)
    parser.add_argument("source", type=Path, metavar="RUN|CHECKPOINT", help="a run folder, or one of its checkpoints")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the files go")
    parser.add_argument("--average", action="store_true", help="the weights' moving average, not the last step's")
    parser.add_argument("--onnx", action="store_true", help="write model.onnx beside config.json and model.safetensors")


def _add_reproduce(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "reproduce", "make a table or figure of the paper", _reproduce)
    parser.add_argument("experiment", help="one of the names below")
    _add_recipe(parser)
    parser.add_argument("--seeds", type=_positive, metavar="N", help="seeds 0 … N-1 (default: the number below)")
    parser.add_argument("--out", type=Path, help="folder of runs, pictures and figures (default runs/reproduce-RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on, or draw a finished experiment anew")
    listed = [f"  {name:<8}{each.title}; {each.seeds} seeds" for name, each in reproduce.EXPERIMENTS.items()]
    parser.epilog = "\n".join(["experiments, which share runs in one folder:", *listed, "", parser.epilog or ""])


def _add_budget(commands: argparse._SubParsersAction) -> None:
    summary = "what a step costs on a V100, and how well that is known"
    group = commands.add_parser("budget", help=summary, description=f"{summary.capitalize()}.")
    kinds = group.add_subparsers(dest="kind", required=True, metavar="COMMAND")
    parser = _add(kinds, "calibrate", "measure this machine and predict reference steps on it", _calibrate)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--threads", type=_positive, default=1, help="CPU threads (default 1, by the thread's own clock)"
    )
    parser.add_argument("--rounds", type=_positive, default=7, help="turns of every step (default 7)")
    parser.add_argument("--out", type=Path, help="write sheet and figures as JSON")
    parser = _add(kinds, "explain", "print where the seconds of a run's step go on a V100", _explain)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--sheet", type=Path, help="a file of calibrate's: predict for that machine instead")


def _add(commands: argparse._SubParsersAction, name: str, summary: str, run) -> console.Parser:
    # No abbreviations: `--seed 3` would be read as compare's `--seeds 3`.
    description = f"{summary.capitalize()}."
    parser = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(run_command=run)
    return parser


def _add_recipe_options(parser: console.Parser) -> None:
    parser.add_argument("task", help=f"one of {', '.join(tasks.TASKS)}")
    _add_recipe(parser)
    parser.add_argument("--run", type=Path, help="the run folder (default: under runs/, named after what is run)")
    parser.add_argument("--resume", action="store_true", help="continue the run that the folder holds")


def _add_recipe(parser: console.Parser) -> None:
    parser.add_argument("--recipe", default="digits", help="a recipe of the task's, or a YAML file (default digits)")
    parser.epilog = "recipe keys, each of which overrides the recipe's value:\n" + recipes.keys_help()


def _train(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    tasks.get(arguments.task)
    config = recipes.load(arguments.task, arguments.recipe, keys)
    method = methods.name_of(config)
    shown = config.parameterisation.replace(":", "-") if method == "vkd" else method
    name = f"{arguments.task}-{Path(arguments.recipe).stem}-{shown}-seed{config.seed}"
    folder = arguments.run or _RUNS / name
    summary = train(arguments.task, config, folder, resume=arguments.resume)
    _print_figures(summary)
    print(f"run folder: {folder}")
    return 0


def _compare(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    tasks.get(arguments.task)
    config = _compared_config(arguments.task, arguments.recipe, keys, varied=("seed", "projector"))
    names = [name.strip() for name in arguments.parameterisation.split(",")]
    methods = entries(list(dict.fromkeys(names)))
    folder = arguments.run or _RUNS / f"compare-{arguments.task}-{Path(arguments.recipe).stem}"
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


def _compared_config(task: str, recipe: str, keys: list[str], *, varied: Sequence[str]) -> Config:
    for key in varied:
        if any(word.split("=")[0] == f"--{key}" for word in keys):
            raise RecipeError(key, "a key that isn't compared", f"--{key}", cure="it is what the comparison varies")
    config = recipes.load(task, recipe, keys)
    if config.alpha == 0:
        raise RecipeError("alpha", "a weight above 0", config.alpha, cure="a comparison has its own run without")
    return config


def _reproduce(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    experiment = reproduce.get(arguments.experiment)
    name = str(reproduce.RECIPES.get(arguments.recipe, arguments.recipe))
    config = _compared_config(reproduce.TASK, name, keys, varied=("seed", *reproduce.VARIED))
    recipe = Path(arguments.recipe).stem
    folder = arguments.out or _RUNS / f"reproduce-{recipe}"
    finding = reproduce.reproduce(
        arguments.experiment,
        experiment,
        config,
        recipe=recipe,
        seeds=arguments.seeds or experiment.seeds,
        folder=folder,
        # A resumed run ends with the same figures: the command that makes them is the one without.
        command=["distill", *(word for word in words if word != "--resume")],
        resume=arguments.resume,
    )
    Console().print(for_terminal(finding.table, experiment.title))
    for sentence in finding.sentences:
        print(sentence)
    print(f"picture: {folder / arguments.experiment / f'{arguments.experiment}.png'}")
    return 0


def _evaluate(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    _refuse("evaluate", keys)
    read_summary(arguments.run)
    task_name, config = recipes.read(arguments.run / "config.yaml")
    task = tasks.get(task_name).untaught(config)
    load_weights(task.module, arguments.run)
    _print_figures(task.evaluate())
    return 0


def _export(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    _refuse("export", keys)
    for path in export(arguments.source, arguments.out, onnx=arguments.onnx, is_averaged=arguments.average):
        print(path)
    return 0


def _calibrate(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    _refuse("budget calibrate", keys)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("--device", "a device of this machine", "cuda", cure="leave it out for the CPU")
    torch.set_num_threads(arguments.threads)
    found = calibrate(arguments.device, rounds=arguments.rounds)
    _say(printed.calibration(found))
    if arguments.out is not None:
        printed.write_calibration(found, arguments.out)
    return 0


def _explain(arguments: argparse.Namespace, keys: list[str], words: list[str]) -> int:
    _refuse("budget explain", keys)
    _say(
        printed.explanation(explain_run(arguments.run, sheet.read(arguments.sheet) if arguments.sheet else sheet.V100))
    )
    if is_finished(arguments.run):
        print(printed.spending(read_summary(arguments.run)))
    return 0


def _say(lines: Sequence[Table | str]) -> None:
    for line in lines:
        Console().print(line, highlight=False, soft_wrap=isinstance(line, str))


def _refuse(command: str, keys: list[str]) -> None:
    if keys:
        raise console.UsageError(f"unrecognized arguments: {' '.join(keys)}; see 'distill {command} --help'")


def _print_figures(figures: dict[str, object]) -> None:
    for name, value in figures.items():
        print(f"{name:>16}  {f'{value:.4g}' if isinstance(value, float) else value}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
