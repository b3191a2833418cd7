"""How redundant features are: correlation between channels, spectrum, effective rank."""

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


def spectrum(features: Float[Tensor, "n dim"]) -> Float[Tensor, "k"]:
    """Return the singular values of the centred features as shares of their sum, largest first."""
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    return values / values.sum()


def effective_rank(shares: Float[Tensor, "k"]) -> float:
    """Return exp of the entropy of a spectrum's shares: 1 for a single direction, k for k equal ones.

    Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007.
    """
    return float(torch.special.entr(shares).sum().exp())


def singular_values(projector: nn.Module, dim: int) -> Float[Tensor, "k"]:
    """Return the singular values of an affine projector from `dim` channels, largest first."""
    device = next(projector.parameters()).device
    origin = projector(torch.zeros(1, dim, device=device))
    return torch.linalg.svdvals((projector(torch.eye(dim, device=device)) - origin).double())
