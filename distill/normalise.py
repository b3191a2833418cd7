"""Normalisations of the teacher's features: none, standardise, whiten."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from distill.errors import WhiteningError
from distill.processes import average_over_processes
from distill.spectrum import effective_rank
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
    width (batch 50 and width 512 leave a single batch's covariance of rank 49). With shrinkage 0 a covariance whose
    smallest eigenvalue is under eps·dim of its largest is refused: whitening it would amplify rounding noise.
    With groups > 1 neighbouring channels are whitened together, dim/groups at a time, and correlations between groups
    stay: less is estimated, and a batch of more than dim/groups samples leaves each group's own covariance regular.

    The averages are exponential with `momentum` for the newest batch, and exact over the first 1/momentum
    batches; momentum 1 whitens by each batch alone. Of several processes' slices they take the whole batch. In eval
    mode they are frozen. No gradient flows into the statistics: the teacher is frozen too.

    Cost: 2·batch·dim²/groups and symmetric eigendecompositions, about 10·dim³/groups² flops, a training step.
    Raises: WhiteningError.
    Source: Kessy, Lewin & Strimmer 2018 (ZCA); Ledoit & Wolf 2004 (shrinkage to a scaled identity); Huang et al.,
    "Decorrelated batch normalization", CVPR 2018 (groups).
    """

    def __init__(self, dim: int, *, shrinkage: float = 0.05, momentum: float = 0.05, groups: int = 1):
        super().__init__()
        if not (0 <= shrinkage < 1 and 0 < momentum <= 1):
            raise WhiteningError(f"expected 0 <= shrinkage < 1 and 0 < momentum <= 1, got {shrinkage} and {momentum}")
        if groups < 1 or dim % groups:
            raise WhiteningError(
                f"expected groups that divide the width {dim}, got {groups}; choose one of its divisors"
            )
        self.shrinkage, self.momentum, self.groups = shrinkage, momentum, groups
        each = dim // groups
        self.register_buffer("mean", torch.zeros(groups, 1, each))
        self.register_buffer("covariance", torch.zeros(groups, each, each))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("matrix", torch.eye(each).repeat(groups, 1, 1))
        self.mean: Tensor
        self.covariance: Tensor
        self.batches: Tensor
        self.matrix: Tensor

    @property
    def effective_rank(self) -> float:
        """The effective rank of what is whitened, before shrinkage: of dim directions, as many as carry it."""
        values = torch.linalg.eigvalsh(_symmetric(self.covariance.double())).clamp_min(0).flatten()
        roots = values.sqrt()  # singular values of the centred features, as `distill.spectrum` has them
        return effective_rank(roots / roots.sum())

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(features.device.type, enabled=False):
            wide = features.float().unflatten(1, (self.groups, -1)).transpose(0, 1)  # (groups, batch, dim/groups)
            if self.training:
                self._update(wide.detach())
            return ((wide - self.mean) @ self.matrix).transpose(0, 1).flatten(1)

    @torch.no_grad()
    def _update(self, features: Tensor) -> None:
        self.batches += 1
        weight = max(self.momentum, 1 / int(self.batches))
        step = average_over_processes(features.mean(1, keepdim=True)) - self.mean
        self.mean += weight * step
        # Welford's update for weighted means: second moments about the old and the new mean together.
        spread = (features - self.mean).mT @ (features - self.mean + weight * step) / features.shape[1]
        self.covariance.lerp_(average_over_processes(spread), weight)
        self.matrix.copy_(self._inverse_root())

    def _inverse_root(self) -> Tensor:
        covariance = self.covariance.double()
        each = covariance.shape[-1]
        average = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * average * torch.eye(each).to(covariance)
        values, vectors = torch.linalg.eigh(_symmetric(shrunk))
        floor = each * torch.finfo(self.covariance.dtype).eps * values[:, -1:]
        if not bool((values > floor).all()):
            rank = int((values > floor).sum())
            raise WhiteningError(
                f"expected a covariance of full rank {values.numel()}, got rank {rank} after {int(self.batches)} "
                "batches; set shrinkage > 0, use larger batches or more groups, or standardise instead"
            )
        return (vectors * values.rsqrt()[:, None]) @ vectors.mT


def _symmetric(matrices: Tensor) -> Tensor:
    return (matrices + matrices.mT) / 2


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
