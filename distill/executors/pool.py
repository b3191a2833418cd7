"""Workers side by side on this machine: each takes the next run when it is free."""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from distill.errors import InterruptedRunError
from distill.executors.slot import Slot, WorkerDiedError
from distill.executors.watch import Watch, watching
from distill.executors.work import Work
from distill.run_folder import write_atomically

LOGS = "failed"


class Pool:
    """Slots, one an environment, that outlast a wave of work. folder: keeps the logs of runs whose workers died."""

    def __init__(self, environments: Sequence[Mapping[str, str]], retries: int, folder: Path):
        self._slots = [Slot(environment) for environment in environments]
        self._retries, self._folder = retries, folder
        self._idle: SimpleQueue[Slot] = SimpleQueue()
        for slot in self._slots:
            self._idle.put(slot)
        self._lock, self._is_stopped = threading.Lock(), False

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for slot in self._slots:
            slot.close()

    def perform(self, works: Sequence[Work]) -> dict[Path, str]:
        """Do pieces of work and return the folders of those that failed, with the reasons.

        Raises: InterruptedRunError after Ctrl-C, when every run has ended its step and written a checkpoint; a second
        one is a KeyboardInterrupt at once.
        """
        count = min(len(self._slots), len(works))
        with watching(works, slots=count) as watch, ThreadPoolExecutor(count) as threads:
            try:
                futures = {work.folder: threads.submit(self._do, work, watch) for work in works}
                reasons = {folder: future.result() for folder, future in futures.items()}
            except BaseException as error:
                threads.shutdown(wait=False, cancel_futures=True)
                self._stop()
                raise InterruptedRunError(self._folder) if isinstance(error, KeyboardInterrupt) else error from None
        return {folder: reason for folder, reason in reasons.items() if reason is not None}

    def _do(self, work: Work, watch: Watch) -> str | None:
        """Return why a piece of work failed, None if it didn't."""
        slot = self._idle.get()
        died = None
        try:
            for _ in range(1 + self._retries):
                if self._is_stopped:
                    break
                try:
                    slot.start()
                    with self._lock:
                        if self._is_stopped:
                            return None
                        slot.give(work)
                    watch.start(work)
                    return slot.outcome()
                except WorkerDiedError as error:
                    died = error
            return None if self._is_stopped or died is None else self._last_words(work, died)
        finally:
            watch.end(work)
            self._idle.put(slot)

    def _stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            for slot in self._slots:
                slot.interrupt()

    def _last_words(self, work: Work, died: WorkerDiedError) -> str:
        named = os.path.relpath(work.folder, self._folder).replace(os.sep, "-")
        path = self._folder / LOGS / f"{named}.log"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, died.log)
        said = (died.log.strip() or "nothing").splitlines()[-1]
        cure = "if memory ran out, lower --workers or the batch size"
        tries = 1 + self._retries
        return f"its worker {died.how}, try {tries} of {tries}; {cure}; its last words, whole in {path}: {said}"
