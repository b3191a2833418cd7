"""Worker processes that decode and augment the next batches while the last one is trained on."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from distill.config import Data
from distill.data.decode import Decoded, Decoder
from distill.data.order import InOrder, Order, Places
from distill.data.source import Reader
from distill.data.transforms import NORMALISATIONS
from distill.errors import DataError, WorkerError

_LOG = logging.getLogger(__name__)


class DecodingReader(Reader):
    """The batches of an order, decoded ahead as long as they are asked for one after the other.

    Asked for any other step, it starts its workers again from there; what comes out is the same. Each broken image is
    noted in `skipped`, which several readers of one source share, and logged when it is new there.
    """

    def __init__(
        self, decoder: Decoder, order: Order | InOrder, data: Data, device: torch.device, skipped: dict[str, str]
    ):
        decoder.transform()  # what it lacks is said here, before anything trains
        self._decoder, self._order, self._data, self._device = decoder, order, data, device
        self._skipped = skipped
        self._ahead: Iterator[Decoded] | None = None
        self._next = -1
        mean, deviation = NORMALISATIONS[data.normalisation]
        self._mean, self._deviation = (
            255 * torch.tensor(each, device=device)[:, None, None] for each in (mean, deviation)
        )

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why each broken image that was met was left out, by its name."""
        return self._skipped

    def __getitem__(self, step: int) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, "batch"]]:
        pixels, index, broken = self._read(step)
        for name in [name for name in broken if name not in self._skipped]:
            _LOG.warning("skipped %s: %s", name, broken[name])
        self._skipped.update(broken)
        if self._decoder.is_training and len(index) < len(self._order[step].index):
            raise broken_data(self._data.path, self._skipped)
        # Bytes travel, a quarter of float32: to this process, and then to the device while it is still computing.
        pixels = pixels.to(self._device, non_blocking=True).float()
        return pixels.sub_(self._mean).div_(self._deviation), index.to(self._device, non_blocking=True)

    def _read(self, step: int) -> Decoded:
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

    def _start(self, step: int) -> Iterator[Decoded]:
        loader = DataLoader(
            self._decoder,
            batch_size=None,
            sampler=_From(self._order, step),
            num_workers=min(self._data.workers, os.cpu_count() or 1),  # torch warns of more
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
class _From(Sampler[Places]):
    """The places of every step from one on."""

    order: Order | InOrder
    step: int

    def __iter__(self) -> Iterator[Places]:
        for step in count(self.step):
            try:
                yield self.order[step]
            except IndexError:
                return


def broken_data(where: str, skipped: Mapping[str, str]) -> DataError:
    """Return the error of data with no whole image, or too many broken ones in a row."""
    name, reason = list(skipped.items())[-1]
    got = f"a long row of broken ones up to {name} ({reason}), {len(skipped)} in all"
    return DataError(where, "images that can be decoded", got, cure="check the disk, and what these files hold")


def _ignore_interrupt(worker: int) -> None:
    # Ctrl-C goes to every process of a terminal; the run's own ends the step, and needs its batches until then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
