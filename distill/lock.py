"""One process at a time in a run's folder: a lock that ends with its process, however that ends."""

import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.errors import RunFolderError

LOCK = ".lock"
# Of a run that was killed, the processes that decode its images end up to 5 s later, and hold its lock until then.
PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.1
_LOG = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, *, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock of a folder, which must exist; wait up to `patience` seconds for another process to let it go.

    Processes on other machines are kept out too if the file system has locks (NFS has); where it has none, that is
    logged and nothing is locked.
    Raises: RunFolderError naming the process that holds it, or saying why the folder can't be written.
    """
    try:
        opened = open(folder / LOCK, "a+", encoding="utf-8")  # noqa: SIM115  # it is closed below
    except OSError as error:
        state = f"can't be locked ({error.strerror})"
        raise RunFolderError(folder, state, "mend its permissions, or choose another folder") from error
    with opened as file:
        end = time.monotonic() + patience
        while not _is_taken(file.fileno(), folder):
            if time.monotonic() > end:
                file.seek(0)
                state = f"is being written by {file.read().strip() or 'another process'}"
                raise RunFolderError(folder, state, "wait for it, end it, or choose another folder")
            time.sleep(_PAUSE_SECONDS)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a folder right now."""
    try:
        with open(folder / LOCK, "a", encoding="utf-8") as file:
            return not _is_taken(file.fileno(), folder)
    except OSError:
        return False


def _is_taken(descriptor: int, folder: Path) -> bool:
    """Try to take a lock; return whether it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _LOG.warning("%s can't be locked (%s): see that nothing else trains there", folder, error)
    return True
