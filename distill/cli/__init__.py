"""`distill`: train, evaluate, compare, and the paper's tables and figures.

distill compare classification --recipe digits --parameterisation exponential,cayley,riemannian --seeds 3

Each command is one file here and one entry of `_COMMANDS`.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout

from distill.cli import (
    budget,
    compare,
    convert_voc,
    evaluate,
    export,
    import_weights,
    predict,
    reproduce,
    sample,
    train,
)
from distill.errors import DistillError, InterruptedRunError, PendingRunsError
from distill.processes import is_first_process, leave
from stiefel import console
from stiefel.errors import StiefelError

_COMMANDS = (
    train,
    compare,
    evaluate,
    predict,
    sample,
    export,
    reproduce,
    budget,
    import_weights,
    convert_voc,
)


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
    except PendingRunsError as pending:
        print(pending)
        return 0


def _dispatch(words: list[str]) -> int:
    parser = console.Parser(prog="distill", description="Knowledge distillation with orthogonal projections (VkD).")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    arguments, keys = parser.parse_known_args(words)
    try:
        return arguments.run_command(arguments, keys, words)
    except KeyboardInterrupt:
        if "resume" not in arguments:
            raise
        print("distill: interrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
