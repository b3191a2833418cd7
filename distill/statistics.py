"""Means over seeds and how far they can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the half-width of its 95 % interval (NaN for a single seed)."""

    mean: float
    half_width: float
    count: int

    @property
    def is_clear_of_zero(self) -> bool:
        """Whether the interval excludes 0; never so for a single seed."""
        return abs(self.mean) > self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and its Student-t 95 % interval, which verdicts rest on.

    Three seeds make it 2.5 sample standard deviations wide on each side, five 1.2. Of normal values it holds the true
    mean in 95 % of all cases for any number of seeds; the bootstrap below does in 75 % for three.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean, math.nan, count)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Estimate(mean, float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count), count)


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Estimate:
    """Return the estimate of `values` − `baseline`, seed by seed: what both share (data, start) cancels."""
    return estimate([value - other for value, other in zip(values, baseline, strict=True)])


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """Return the percentile bootstrap's 95 % interval of the mean, the same one each time.

    It assumes no distribution, but sees no further than the seeds it has: it never reaches past their least and
    greatest value. Of normal values it holds the true mean in 75 % of all cases for 3 seeds, 83 % for 5, 90 % for 10
    (4000 cases each), so it is too narrow to rest a verdict on below some twenty. NaN for a single seed.
    Source: Efron & Tibshirani 1993, chapter 13.
    """
    if len(values) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(np.asarray(values, dtype=float)[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)
