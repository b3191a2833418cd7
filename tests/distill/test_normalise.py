"""Normalisations of teacher features."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
    assert torch.allclose(layer.mean.flatten(), together.mean(0), atol=200 * EPS * 4)
    assert torch.allclose(layer.covariance[0], torch.cov(together.T, correction=0), atol=200 * EPS * 16)


def test_whitening_at_batch_50_and_width_512_is_well_posed_by_shrinkage() -> None:
    out = normalise.build("whiten", 512)(correlated(50, 512))
    assert out.isfinite().all()
    assert out.pow(2).mean() < 2  # unshrunk, rounding noise in 463 null directions would blow this up


def test_whitening_without_shrinkage_refuses_a_deficient_covariance_and_names_the_cure() -> None:
    with pytest.raises(WhiteningError, match=r"full rank 512, got rank \d+ after 1 batches; set shrinkage > 0"):
        normalise.Whiten(512, shrinkage=0.0)(correlated(50, 512))


def test_momentum_one_whitens_by_each_batch_alone() -> None:
    layer = normalise.Whiten(6, shrinkage=0.0, momentum=1.0)
    layer(correlated(40, 6))
    newest = correlated(40, 6, seed=1)
    condition = torch.linalg.cond(torch.cov(newest.T))
    # The mean, about 3, is reached through another batch's.
    alone = normalise.Whiten(6, shrinkage=0.0)(newest)
    assert torch.allclose(layer(newest), alone, atol=float(10 * 6 * EPS * condition))


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_groups_are_whitened_each_on_its_own(groups: int) -> None:
    features = correlated(60, 16)
    out = normalise.Whiten(16, groups=groups)(features)
    width = 16 // groups
    parts = [normalise.Whiten(width)(part) for part in features.split(width, dim=1)]
    # The same sums of 60 products, in another order, times a root of a condition number below 100.
    assert torch.allclose(out, torch.cat(parts, 1), atol=60 * EPS * 10)


def test_groups_leave_a_small_batchs_covariance_regular() -> None:
    features = correlated(50, 512)
    out = normalise.Whiten(512, shrinkage=0.0, momentum=1.0, groups=32)(features)
    blocks = out.unflatten(1, (32, 16)).transpose(0, 1)
    condition = max(float(torch.linalg.cond(torch.cov(part.T))) for part in features.split(16, dim=1))
    assert (blocks.mT @ blocks / 50 - torch.eye(16)).abs().max() <= 16 * EPS * condition
    with pytest.raises(WhiteningError, match=r"rank .* or more groups"):
        normalise.Whiten(512, shrinkage=0.0, momentum=1.0, groups=8)(features)


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_that_dont_divide_the_width_are_refused(groups: int) -> None:
    with pytest.raises(WhiteningError, match=f"divide the width 16, got {groups}"):
        normalise.Whiten(16, groups=groups)


def test_the_effective_rank_counts_the_directions_that_carry_the_features() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = normalise.Whiten(12)
    layer(torch.randn(5000, 3, generator=generator) @ torch.eye(3, 12))
    assert 2.99 < layer.effective_rank <= 3 + 12 * EPS**0.5  # three equal ones, but for sampling
    layer = normalise.Whiten(12, momentum=1.0)
    layer(correlated(5, 12))
    assert layer.effective_rank <= 4 + 12 * EPS**0.5  # five centred samples


# Sizes at which a Gaussian batch's covariance is regular.
@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1), st.integers(2, 12), st.integers(2, 4))
def test_the_loss_against_whitened_features_is_energy_and_cross_correlation_alone(
    seed: int, dim: int, times: int
) -> None:
    """‖s − t‖² = dim + ‖s‖² − 2 tr(sᵀt), per sample: VkD's equations 6 and 7."""
    batch = 4 * dim * times
    teacher, student = correlated(batch, dim, seed=seed), correlated(batch, dim, seed=seed + 1)
    amplification = float(teacher.pow(2).sum(1).mean() / torch.linalg.eigvalsh(torch.cov(teacher.T))[0])
    assume(amplification < 1e4)  # where it is nearly singular, it is refused
    layer = normalise.Whiten(dim, shrinkage=0.0, momentum=1.0)
    whitened = layer(teacher).double()
    loss = dim * torch.nn.functional.mse_loss(student.double(), whitened)
    energy = student.double().pow(2).sum() / batch
    cross = (student.double().T @ whitened / batch).trace()
    # Each whitened channel's variance is 1 to eps of the features' second moment over the least variance.
    assert abs(float(loss - (dim + energy - 2 * cross))) <= 4 * dim * EPS * amplification


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
