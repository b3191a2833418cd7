"""Means over seeds and how far they can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


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
    """Return the mean and its Student-t 95 % interval, the right one for a handful of seeds.

    Three seeds make it 2.5 sample standard deviations wide on each side, five 1.2.
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
