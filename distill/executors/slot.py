"""A place for one run at a time: a worker process that is used again and again, and replaced when it dies."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress

from distill.executors.work import Work
from distill.executors.worker import MODULE, READY

_KEPT_BYTES = 1 << 14


class WorkerDiedError(Exception):
    """A worker that ended amid its work. how: by what. log: the end of what it wrote on standard error."""

    def __init__(self, how: str, log: str):
        self.how, self.log = how, log
        super().__init__(how, log)


class Slot:
    """Give a worker its work; the process starts when it is first needed, which takes seconds, and lasts.

    It leads a process group, so that it ends with whatever it started; if this process dies, it ends by itself.
    """

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115  # as long as the slot

    def start(self) -> None:
        """See that a worker is there and waits for work.

        Raises: WorkerDiedError if it can't be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        self._answer(READY)

    def give(self, work: Work) -> None:
        """Give work to the worker, which must have been started."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._log.truncate(0)
        with suppress(BrokenPipeError):  # `outcome` says that it has died
            os.write(self._process.stdin.fileno(), f"{work.to_line()}\n".encode())

    def outcome(self) -> str | None:
        """Wait for the end of the work and return why it failed, None if it didn't.

        Raises: WorkerDiedError.
        """
        return json.loads(self._answer())

    def interrupt(self) -> None:
        """Do to the worker and its processes what Ctrl-C does: a run ends its step and writes a checkpoint."""
        process = self._process  # another thread may be about to replace it
        if process is not None:
            _signal_group(process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the worker, if there is one, with every process that it started."""
        self._stop()
        self._log.close()

    def _stop(self) -> None:
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)
            with self._process:  # closes its pipes and waits for its end
                self._process = None

    def _answer(self, expected: str | None = None) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer.endswith("\n") or expected not in (None, answer):
            raise WorkerDiedError(self._end(), self._tail())
        return answer

    def _end(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None  # it has closed its output and hangs
        self._stop()
        if code is None:
            return "stopped answering"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _tail(self) -> str:
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _KEPT_BYTES))
        return self._log.read().decode(errors="replace")


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)
