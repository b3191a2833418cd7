"""The process that works: `python -m distill.executors.worker LINE` does one piece, without LINE those that it is told.

A line is what `Work.to_line` returns. It is told its work on standard input, a line each, and answers each on standard
output with a line of JSON: null, or why it failed. When standard input ends, because whoever speaks there has died, it
ends at once with every process that it started: it must lead a process group of its own (`start_new_session=True`).
"""

import json
import os
import signal
import subprocess
import sys
import threading
from queue import SimpleQueue
from typing import NoReturn

from distill.errors import DistillError
from distill.executors.work import Work
from distill.interrupt import deferred_interrupt
from distill.processes import is_first_process, leave
from stiefel.errors import StiefelError

MODULE = "distill.executors.worker"
READY = "ready\n"
# As every command's here: a user can mend it.
FAILED = 2


def main(words: list[str]) -> int:
    """Do the one piece of work that is given, or serve; return the exit code, 2 for a failure that a user can mend."""
    if not words:
        _serve()
    work = Work.from_line(words[0])
    if work.is_teacher and not is_first_process():
        return 0  # under srun, the other processes of an array's element
    failure = _outcome(work)
    if failure is not None and is_first_process():
        sys.stdout.write(f"{failure}\n")
    return leave(0 if failure is None else FAILED)


def _serve() -> NoReturn:
    # Whatever a library prints goes where errors go: this stream is for answers alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.fileno(), lines), daemon=True).start()
    answers.write(READY)
    answers.flush()
    while True:
        work = Work.from_line(lines.get())
        answers.write(json.dumps(_outcome_apart(work) if work.processes > 1 else _outcome(work)) + "\n")
        answers.flush()


def _listen(descriptor: int, lines: SimpleQueue[str]) -> None:
    # A file of its own: Python aborts if it can't close `sys.stdin` when it ends, because a thread is reading it.
    with open(descriptor, encoding="utf-8", closefd=False) as stream:
        for line in stream:
            lines.put(line)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _outcome(work: Work) -> str | None:
    """Return why a piece of work failed, None if it didn't; any other error than a user's ends this process."""
    try:
        work.perform()
    except (DistillError, StiefelError) as error:
        return str(error)
    return None


def _outcome_apart(work: Work) -> str | None:
    """Do a piece of work in a process that can start others by its own command line, and join them only once."""
    with deferred_interrupt():  # the run's own processes end the step, and say so
        command = [sys.executable, "-m", MODULE, work.to_line()]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode == FAILED:
        return done.stdout.splitlines()[-1]
    if done.returncode != 0:
        sys.exit(f"a run of several processes ended with exit code {done.returncode}")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
