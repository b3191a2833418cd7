"""Normalisations of teacher features."""

import pytest
import torch

from distill import normalise
from distill.errors import WhiteningError
from stiefel import StiefelError

EPS = torch.finfo(torch.float32).eps


def correlated(batch: int, dim: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator) / dim**0.5 + torch.eye(dim)
    return torch.randn(batch, dim, generator=generator) @ mixing + 3


def test_none_changes_nothing() -> None:
    features = correlated(8, 5)
    assert normalise.build("none", 5)(features) is features


def test_standardise_gives_each_sample_zero_mean_and_unit_variance() -> None:
    out = normalise.build("standardise", 64)(correlated(8, 64))
    assert out.mean(1).abs().max() <= 64 * EPS
    # The layer norm's eps of 1e-5 shrinks a variance of at least 0.3 by less than 1e-4.
    assert (out.var(1, unbiased=False) - 1).abs().max() <= 1e-4


def test_whitening_one_batch_without_shrinkage_gives_unit_covariance() -> None:
    features = correlated(512, 16)
    out = normalise.Whiten(16, shrinkage=0.0)(features)
    covariance = out.T @ out / 512
    condition = torch.linalg.cond(torch.cov(features.T))
    assert (covariance - torch.eye(16)).abs().max() <= 16 * EPS * condition
    assert out.mean(0).abs().max() <= 512 * EPS


def test_whitening_averages_exactly_over_its_first_batches() -> None:
    layer = normalise.Whiten(6, momentum=0.05)
    batches = [correlated(40, 6, seed=seed) for seed in range(5)]
    for batch in batches:
        layer(batch)
    together = torch.cat(batches)
    assert torch.allclose(layer.mean, together.mean(0), atol=200 * EPS * 4)
    assert torch.allclose(layer.covariance, torch.cov(together.T, correction=0), atol=200 * EPS * 16)


def test_whitening_at_batch_50_and_width_512_is_well_posed_by_shrinkage() -> None:
    out = normalise.build("whiten", 512)(correlated(50, 512))
    assert out.isfinite().all()
    assert out.pow(2).mean() < 2  # unshrunk, rounding noise in 463 null directions would blow this up


def test_whitening_without_shrinkage_refuses_a_deficient_covariance_and_names_the_cure() -> None:
    with pytest.raises(WhiteningError, match=r"full rank 512, got rank \d+ after 1 batches; set shrinkage > 0"):
        normalise.Whiten(512, shrinkage=0.0)(correlated(50, 512))


def test_whitening_is_frozen_in_eval_mode_and_survives_a_save() -> None:
    layer = normalise.Whiten(6)
    layer(correlated(40, 6))
    layer.eval()
    held_out = correlated(10, 6, seed=9)
    other = normalise.Whiten(6).eval()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(held_out), other(held_out))
    assert int(layer.batches) == 1


def test_an_unknown_normalisation_lists_the_valid_ones() -> None:
    with pytest.raises(StiefelError, match="choose one of none, standardise, whiten"):
        normalise.build("whitten", 4)
