"""The spectrum of features and its effective rank."""

import torch
from jaxtyping import Float
from torch import Tensor


def spectrum(features: Float[Tensor, "n dim"]) -> Float[Tensor, "k"]:
    """Return the singular values of the centred features as shares of their sum, largest first.

    Features that are all the same have none to share: zeros, of effective rank 1.
    """
    values = torch.linalg.svdvals((features - features.mean(0)).double())
    return values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)


def effective_rank(shares: Float[Tensor, "k"]) -> float:
    """Return exp of the entropy of a spectrum's shares: 1 for a single direction, k for k equal ones.

    Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007.
    """
    return float(torch.special.entr(shares).sum().exp())
