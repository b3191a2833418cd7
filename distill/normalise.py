"""Normalisations of the teacher's features: none, standardise, whiten."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import WhiteningError
from distill.processes import average_over_processes
from stiefel.errors import UnknownNameError


class Standardise(nn.Module):
    """Zero mean and unit variance over the channels of each sample: a layer norm without gain, eps 1e-5.

    VkD's normalisation for classification.
    """

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return functional.layer_norm(features, features.shape[-1:])


class Whiten(nn.Module):
    """ZCA whitening z ↦ (z − μ)·C^{-1/2} with a mean and covariance averaged over the batches seen in training.

    C = (1 − shrinkage)·Σ + shrinkage·(tr Σ/dim)·I, so it is well posed even where a batch is smaller than the
    width (batch 50 and width 512 leave a single batch's covariance of rank 49). With shrinkage 0 an averaged
    covariance whose smallest eigenvalue is under eps·dim of its largest is refused: whitening it would amplify
    rounding noise.

    The averages are exponential with `momentum` for the newest batch, and exact over the first 1/momentum
    batches; of several processes' slices they take the whole batch. In eval mode they are frozen. No gradient flows
    into the statistics: the teacher is frozen too.

    Cost: 2·batch·dim² and a symmetric eigendecomposition of dim × dim, about 10·dim³ flops, a training step.
    Source: Kessy, Lewin & Strimmer 2018 (ZCA); Ledoit & Wolf 2004 (shrinkage to a scaled identity).
    """

    def __init__(self, dim: int, *, shrinkage: float = 0.05, momentum: float = 0.05):
        super().__init__()
        if not (0 <= shrinkage < 1 and 0 < momentum <= 1):
            raise WhiteningError(f"expected 0 <= shrinkage < 1 and 0 < momentum <= 1, got {shrinkage} and {momentum}")
        self.shrinkage, self.momentum = shrinkage, momentum
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.zeros(dim, dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("matrix", torch.eye(dim))
        self.mean: Tensor
        self.covariance: Tensor
        self.batches: Tensor
        self.matrix: Tensor

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(features.device.type, enabled=False):
            wide = features.float()
            if self.training:
                self._update(wide.detach())
            return (wide - self.mean) @ self.matrix

    @torch.no_grad()
    def _update(self, features: Tensor) -> None:
        self.batches += 1
        weight = max(self.momentum, 1 / int(self.batches))
        step = average_over_processes(features.mean(0)) - self.mean
        self.mean += weight * step
        # Welford's update for weighted means: second moments about the old and the new mean together.
        spread = (features - self.mean).T @ (features - self.mean + weight * step) / features.shape[0]
        self.covariance.lerp_(average_over_processes(spread), weight)
        self.matrix.copy_(self._inverse_root())

    def _inverse_root(self) -> Tensor:
        covariance = self.covariance.double()
        dim = covariance.shape[0]
        average = covariance.diagonal().mean()
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * average * torch.eye(dim).to(covariance)
        values, vectors = torch.linalg.eigh((shrunk + shrunk.T) / 2)
        floor = dim * torch.finfo(self.covariance.dtype).eps * values[-1]
        if not bool(values[0] > floor):
            rank = int((values > floor).sum())
            raise WhiteningError(
                f"expected a covariance of full rank {dim}, got rank {rank} after {int(self.batches)} batches; "
                "set shrinkage > 0, use larger batches or standardise instead"
            )
        return (vectors * values.rsqrt()) @ vectors.T


NORMALISATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda dim: nn.Identity(),
    "standardise": lambda dim: Standardise(),
    "whiten": Whiten,
}


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(NORMALISATIONS)


def build(name: str, dim: int) -> nn.Module:
    """Return the normalisation called `name` for features of width `dim`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in NORMALISATIONS:
        raise UnknownNameError("normalisation", name, NORMALISATIONS)
    return NORMALISATIONS[name](dim)
