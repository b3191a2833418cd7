"""How our command lines speak: one sentence on standard error and exit code 2 for anything a user got wrong."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UsageError(ValueError):
    """A command line that can't be parsed."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError with one sentence instead of printing the usage and exiting.

    `more` adds what takes time to find out to the end of `--help`, when that is asked for.
    """

    more: Callable[[], str] | None = None

    def format_help(self) -> str:
        written = super().format_help()
        return f"{written}\n{self.more()}\n" if self.more else written

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")


def run(program: str, command: Callable[[], int], expected: tuple[type[Exception], ...]) -> int:
    """Run a command and return its exit code: 2 and one line for `expected` errors, 130 after Ctrl-C."""
    # `module:Class` usually lies in the working directory, which an installed command doesn't search.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return command()
    except (UsageError, *expected) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (`stiefel list | head`): close quietly, as other commands do.
        sys.stderr.close()
        return 0
