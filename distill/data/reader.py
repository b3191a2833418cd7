"""Batches of decoded images as normalised pixels, broken images named."""

import logging
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.config import Data
from distill.data.ahead import Ahead
from distill.data.decode import Decoded, Decoder
from distill.data.order import InOrder, Order
from distill.data.source import Reader
from distill.data.transforms import NORMALISATIONS
from distill.errors import DataError

_LOG = logging.getLogger(__name__)


class DecodingReader(Reader):
    """The batches of an order, decoded ahead.

    Each broken image is noted in `skipped`, which several readers of one source share, and logged when it is new there.
    """

    def __init__(
        self, decoder: Decoder, order: Order | InOrder, data: Data, device: torch.device, skipped: dict[str, str]
    ):
        decoder.transform()  # what it lacks is said here, before anything trains
        self._decoder, self._order, self._data, self._device = decoder, order, data, device
        self._skipped = skipped
        self._ahead: Ahead[Decoded] = Ahead(decoder, order.__getitem__, workers=data.workers, device=device)
        self._mean, self._deviation = of_bytes(data.normalisation, device)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why each broken image that was met was left out, by its name."""
        return self._skipped

    def __getitem__(self, step: int) -> tuple[Float[Tensor, "batch channels height width"], Int[Tensor, "batch"]]:
        pixels, index, broken = self._ahead[step]
        note(broken, self._skipped)
        if self._decoder.is_training and len(index) < len(self._order[step].index):
            raise broken_data(self._data.path, self._skipped)
        # Bytes travel, a quarter of float32: to this process, and then to the device while it is still computing.
        pixels = pixels.to(self._device, non_blocking=True).float()
        return pixels.sub_(self._mean).div_(self._deviation), index.to(self._device, non_blocking=True)


def of_bytes(normalisation: str, device: torch.device) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    """Return the mean and deviation by which pixels of 0 … 255 are normalised."""
    mean, deviation = (255 * torch.tensor(each, device=device) for each in NORMALISATIONS[normalisation])
    return mean[:, None, None], deviation[:, None, None]


def note(broken: Mapping[str, str], skipped: dict[str, str]) -> None:
    """Add broken images to those that were met before, and warn of each that is new there."""
    for name in [name for name in broken if name not in skipped]:
        _LOG.warning("skipped %s: %s", name, broken[name])
    skipped.update(broken)


def broken_data(where: str, skipped: Mapping[str, str]) -> DataError:
    """Return the error of data with no whole image, or too many broken ones in a row."""
    name, reason = list(skipped.items())[-1]
    got = f"a long row of broken ones up to {name} ({reason}), {len(skipped)} in all"
    return DataError(where, "images that can be decoded", got, cure="check the disk, and what these files hold")
