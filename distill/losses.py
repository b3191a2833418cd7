"""Losses between projected student features and normalised teacher features."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stiefel.errors import UnknownNameError

# SRD's constants: the exponent of a channel's deviation and the floor under the logarithm.
_SRD_POWER, _SRD_FLOOR = 4, 1e-5


class LogSum(nn.Module):
    """SRD's loss log(Σ_c |r_c − 1|⁴ + 1e-5), r_c the correlation of channel c over the batch.

    Both sides are standardised over the batch, so scale and offset don't matter; it needs two samples or more.
    Source: Miles & Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024.
    """

    def forward(self, student: Float[Tensor, "batch dim"], teacher: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
        correlation = (_over_batch(student) * _over_batch(teacher)).mean(0)
        return torch.log((correlation - 1).abs().pow(_SRD_POWER).sum() + _SRD_FLOOR)


def _over_batch(features: Tensor) -> Tensor:
    centred = features - features.mean(0)
    # The eps keeps a channel that is constant over the batch (a dead unit) at 0 instead of NaN.
    return centred / (centred.pow(2).mean(0) + torch.finfo(features.dtype).eps).sqrt()


LOSSES: dict[str, Callable[[], nn.Module]] = {
    "smooth_l1": nn.SmoothL1Loss,
    "mse": nn.MSELoss,
    "logsum": LogSum,
}


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(LOSSES)


def build(name: str) -> nn.Module:
    """Return the loss called `name`; all take (student, teacher) of shape (batch, dim) to a scalar.

    Raises: UnknownNameError with the valid names.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name]()
