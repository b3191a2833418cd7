"""How many runs are done, and when the last one will be."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import fmean

from rich.progress import ProgressColumn, Task
from rich.text import Text

from distill.executors.work import Work
from distill.progress import progress_bar


class Watch:
    """Says from the runs that ended when all will have, if the others take as long and `slots` run at a time."""

    def __init__(
        self, total: int, slots: int, *, advance: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ):
        self._total, self._slots, self._advance, self._clock = total, slots, advance, clock
        self._started: dict[Path, float] = {}
        self._seconds: list[float] = []

    def start(self, work: Work) -> None:
        """Note that a piece of work begins, or begins again."""
        self._started[work.folder] = self._clock()

    def end(self, work: Work, *, seconds: float | None = None) -> None:
        """Note that it ended; it took the time since its start, or what its worker says."""
        started = self._started.pop(work.folder, self._clock())
        self._seconds.append(self._clock() - started if seconds is None else seconds)
        self._advance()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last will end; None before the first did.

        A run takes the mean of the later half of those that ended: the first ones are slow, their workers import.
        """
        if not self._seconds:
            return None
        mean, now = fmean(self._seconds[len(self._seconds) // 2 :]), self._clock()
        free = [max(0.0, mean - (now - started)) for started in list(self._started.values())]
        waiting = self._total - len(self._seconds) - len(free)
        free += [0.0] * (self._slots - len(free))
        heapq.heapify(free)
        for _ in range(waiting):
            heapq.heapreplace(free, free[0] + mean)
        return max(free)


@contextmanager
def watching(works: Sequence[Work], slots: int) -> Iterator[Watch]:
    """Show a bar for pieces of work, of which `slots` are done at a time, and return what they are noted on."""
    with progress_bar(left=_TimeLeft()) as progress:
        bar = progress.add_task("teachers" if all(work.is_teacher for work in works) else "runs", total=len(works))
        watch = Watch(len(works), slots, advance=partial(progress.advance, bar))
        progress.update(bar, watch=watch)
        yield watch


class _TimeLeft(ProgressColumn):
    """rich's own column looks at the last half minute, in which perhaps no run ends."""

    def render(self, task: Task) -> Text:
        watch = task.fields.get("watch")
        seconds = watch.seconds_left if watch else None
        shown = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(shown, style="progress.remaining")
