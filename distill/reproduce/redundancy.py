"""How redundant features are: correlation between channels, singular values of a projector."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def correlation(features: Float[Tensor, "n dim"]) -> Float[Tensor, "dim dim"]:
    """Return Pearson's correlation between channels over samples; a constant channel's is 0."""
    centred = (features - features.mean(0)).double()
    norms = centred.norm(dim=0)
    unit = centred / norms.clamp_min(torch.finfo(torch.float32).tiny)
    return unit.T @ unit


def mean_correlation(features: Float[Tensor, "n dim"]) -> float:
    """Return the mean absolute correlation between two different channels, 0 … 1."""
    matrix = correlation(features).abs()
    count = matrix.shape[0]
    return float((matrix.sum() - matrix.trace()) / (count * (count - 1)))


def singular_values(projector: nn.Module, dim: int) -> Float[Tensor, "k"]:
    """Return the singular values of an affine projector from `dim` channels, largest first."""
    device = next(projector.parameters()).device
    origin = projector(torch.zeros(1, dim, device=device))
    return torch.linalg.svdvals((projector(torch.eye(dim, device=device)) - origin).double())
