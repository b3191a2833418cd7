"""Worker processes that make the next batches while the last one is trained on."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from distill.errors import WorkerError

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """The batches that a dataset makes of what is wanted, ahead as long as they are asked for one after the other.

    wanted: what each step's batch is made from; an IndexError where there are no more. Asked for any other step, it
    starts its workers again from there; what comes out is the same.
    """

    def __init__(self, dataset: Dataset[Batch], wanted: Callable[[int], Any], *, workers: int, device: torch.device):
        self._dataset, self._wanted, self._device = dataset, wanted, device
        self._workers = min(workers, os.cpu_count() or 1)  # torch warns of more
        self._ahead: Iterator[Batch] | None = None
        self._next = -1

    def __getitem__(self, step: int) -> Batch:
        try:
            if self._ahead is None or step != self._next:
                self._ahead = None  # the workers before end first
                self._ahead = self._start(step)
            self._next = step + 1
            return next(self._ahead)
        except RuntimeError as error:
            self._ahead = None
            if "DataLoader worker" not in str(error):
                raise
            raise WorkerError(" ".join(str(error).split())) from error

    def _start(self, step: int) -> Iterator[Batch]:
        loader = DataLoader(
            self._dataset,
            batch_size=None,
            sampler=_From(self._wanted, step),
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_ignore_interrupt,
            generator=torch.Generator(),  # torch would else draw from the run's
        )
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGCHLD)
        ahead = iter(loader)
        if is_main:
            # torch's handler raises wherever the run happens to be when a worker dies, amid a checkpoint too;
            # without it, the next batch that is asked for says so.
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
        return ahead


@dataclass(frozen=True)
class _From(Sampler[Any]):
    """What is wanted from one step on."""

    wanted: Callable[[int], Any]
    step: int

    def __iter__(self) -> Iterator[Any]:
        for step in count(self.step):
            try:
                yield self.wanted(step)
            except IndexError:
                return


def _ignore_interrupt(worker: int) -> None:
    # Ctrl-C goes to every process of a terminal; the run's own ends the step, and needs its batches until then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
