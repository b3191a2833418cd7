"""Metrics against slow oracles and against distributions whose distance is known."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.errors import MetricError
from distill.generation import metrics
from distill.generation.config import Metrics
from distill.generation.extractors import Extracted, Extractor, extract, rounded, spread

EPS = torch.finfo(torch.float64).eps


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Pixels(Extractor):
    """Pixels as features and as logits."""

    label, dim = "Fréchet distance in pixels", 16

    def forward(self, images: Tensor) -> Extracted:
        return Extracted(images.flatten(1), images.flatten(1))


def frechet_by_scipy(real: Tensor, fake: Tensor) -> float:
    first, second = (np.cov(each.numpy().T) for each in (real, fake))
    root = scipy.linalg.sqrtm(first @ second)
    gap = (real.mean(0) - fake.mean(0)).numpy()
    return float(gap @ gap + np.trace(first + second - 2 * np.real(root)))


@pytest.mark.parametrize(("count", "dim"), [(200, 3), (200, 24), (60, 24)])
def test_the_frechet_distance_is_that_of_scipys_matrix_root(count: int, dim: int) -> None:
    real, fake = drawn(count, dim), drawn(count, dim, seed=1) @ drawn(dim, dim, seed=2) / dim**0.5 + 0.3
    expected = frechet_by_scipy(real, fake)
    # Roots of eigenvalues known to dim·eps, of a product of covariances: errors of eps^½ relative at worst.
    assert metrics.frechet_distance(real, fake) == pytest.approx(expected, rel=dim * EPS**0.5)


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0.2, 4))
def test_the_frechet_distance_of_moved_and_scaled_samples_is_the_gaussians_own(shift: float, scale: float) -> None:
    real = drawn(300, 5)
    covariance = torch.cov(real.T)
    mean = real.mean(0)
    fake = scale * (real - mean) + mean + shift
    expected = 5 * shift**2 + (scale - 1) ** 2 * float(covariance.trace())
    assert metrics.frechet_distance(real, fake) == pytest.approx(expected, abs=1000 * 5 * EPS * (1 + scale**2) * 10)


def test_the_frechet_distance_of_singular_covariances_is_finite_and_right() -> None:
    real, fake = drawn(30, 60), drawn(30, 60, seed=1)
    # Half the eigenvalues are 0 but for rounding, whose root is eps^½ of the largest each.
    assert metrics.frechet_distance(real, fake) == pytest.approx(frechet_by_scipy(real, fake), rel=60 * EPS**0.5)


def test_kid_of_whole_sets_is_the_mean_of_the_kernel_over_pairs() -> None:
    real, fake = drawn(24, 6), drawn(24, 6, seed=1) + 0.5

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 6 + 1) ** 3

    pairs = [(i, j) for i in range(24) for j in range(24)]
    within = [sum(kernel(x[i], x[j]) for i, j in pairs if i != j) / (24 * 23) for x in (real, fake)]
    expected = sum(within) - 2 * sum(kernel(real[i], fake[j]) for i, j in pairs) / 24**2
    # Subsets of all 24 are the sets themselves, in another order; 24² terms of up to 10² are added up.
    assert metrics.kernel_distance(real, fake) == pytest.approx(expected, abs=24**2 * EPS * 100)


def test_metrics_leave_the_callers_random_state_alone_and_repeat() -> None:
    before = torch.get_rng_state()
    real, fake = drawn(1200, 4), drawn(1200, 4, seed=1)
    assert metrics.kernel_distance(real, fake) == metrics.kernel_distance(real, fake)
    assert metrics.inception_score(real) == metrics.inception_score(real)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_inception_score_is_one_for_equal_and_the_number_of_classes_for_sure_and_even_answers() -> None:
    assert metrics.inception_score(torch.zeros(50, 7)) == pytest.approx(1, abs=7 * EPS)
    sure = 50.0 * torch.eye(5).repeat(400, 1)
    # The ten splits are drawn, so that classes are even in them only about: 200 images, 5 classes.
    assert 4.8 < metrics.inception_score(sure) <= 5


def test_precision_and_recall_are_those_of_every_ball_looked_at() -> None:
    real, fake = drawn(40, 3), 1.5 * drawn(33, 3, seed=1)

    def share(points: Tensor, support: Tensor, k: int) -> float:
        inside = 0
        for point in points:
            inside += any(
                math.dist(point.tolist(), one.tolist())
                <= sorted(math.dist(one.tolist(), x.tolist()) for x in support)[k]
                for one in support
            )
        return inside / len(points)

    for k in (1, 3):
        found = metrics.precision_recall(real, fake, neighbours=k)
        assert found == (share(fake, real, k), share(real, fake, k))
    assert metrics.precision_recall(real, real, neighbours=3) == (1.0, 1.0)
    assert metrics.precision_recall(real, real + 1000, neighbours=3) == (0.0, 0.0)


def test_collapsed_samples_are_precise_but_recall_little_and_have_no_diversity() -> None:
    real = drawn(100, 4)
    collapsed = real[:1].repeat(50, 1)
    precision, recall = metrics.precision_recall(real, collapsed, neighbours=3)
    assert (precision, recall) == (1.0, 0.01)
    # Unit vectors known to eps, their distance's square to some eps: its root to eps^½.
    assert metrics.diversity(collapsed) <= 4 * EPS**0.5
    assert metrics.diversity(real) > 1


def test_samples_without_any_variation_have_figures_that_are_numbers() -> None:
    images = [drawn(40, 1, 4, 4).float().clamp(-1, 1)]
    figures = metrics.judge(Pixels(), images, [torch.full((40, 1, 4, 4), -1.0)], Metrics(samples=40))
    assert all(math.isfinite(value) for value in figures.values()), figures
    assert figures["effective_rank"] == 1  # a floor: no direction carries anything


def test_diversity_is_the_mean_over_pairs() -> None:
    features = drawn(13, 5)
    unit = [each / each.norm() for each in features]
    pairs = [float((a - b).norm()) for i, a in enumerate(unit) for b in unit[:i]]
    assert metrics.diversity(features) == pytest.approx(sum(pairs) / len(pairs), rel=13 * 5 * EPS**0.5)


def test_blocks_change_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = drawn(50, 3), drawn(40, 3, seed=1)
    whole = metrics.precision_recall(real, fake, neighbours=3), metrics.diversity(real)
    monkeypatch.setattr(metrics, "_ROWS", 7)
    assert metrics.precision_recall(real, fake, neighbours=3) == whole[0]
    assert metrics.diversity(real) == pytest.approx(whole[1], rel=50 * EPS**0.5)


def test_judging_states_how_many_samples_it_saw_and_sees_no_more_than_it_may() -> None:
    real = [drawn(30, 1, 4, 4).float().clamp(-1, 1) for _ in range(3)]
    fake = [drawn(25, 1, 4, 4, seed=1).float().clamp(-1, 1) for _ in range(3)]
    figures = metrics.judge(Pixels(), real, fake, Metrics(samples=60))
    assert (figures["samples"], figures["samples_real"]) == (60, 60)
    assert all(math.isfinite(value) for value in figures.values())
    same = metrics.judge(Pixels(), real, real, Metrics(samples=60))
    assert same["fid"] == pytest.approx(0, abs=1000 * EPS**0.5)
    assert same["precision"] == same["recall"] == 1


def test_too_few_samples_are_refused_in_one_sentence() -> None:
    images = [drawn(9, 1, 4, 4).float()]
    with pytest.raises(MetricError, match=r"expected 20 real images or more, got 9; raise"):
        metrics.judge(Pixels(), images, images, Metrics())
    with pytest.raises(MetricError, match="images to judge"):
        extract(Pixels(), [], 10)


def test_images_are_judged_at_the_levels_of_eight_bits() -> None:
    levels = torch.arange(256) / 127.5 - 1
    assert torch.equal(rounded(levels), levels)
    images = drawn(1000).float()
    steps = (rounded(images) + 1) * 127.5
    assert (steps - steps.round()).abs().max() <= 256 * torch.finfo(torch.float32).eps
    assert (rounded(images) - images.clamp(-1, 1)).abs().max() <= 0.5 / 127.5 + 4 * torch.finfo(torch.float32).eps


def test_a_spread_choice_covers_a_sorted_set_evenly() -> None:
    labels = torch.arange(10).repeat_interleave(100)
    assert torch.bincount(labels[spread(1000, 200)]).tolist() == [20] * 10
    assert spread(7, 100).tolist() == list(range(7))
