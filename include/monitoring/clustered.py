"""Means of rows whose days share their luck, with errors that take whole days as the pieces of evidence.

The error of a mean is that of a ratio of sums of days (linearized; Cochran, Sampling Techniques, 1977, section 6.3).
As the days are few, Student's distribution with one degree less than there are days says what chance explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.evaluation.resampling import Resampling


@dataclass(frozen=True)
class Measured:
    """A number and how sure it is.

    :param error: its standard error.
    :param freedom: degrees of freedom of that error.
    """

    value: float
    error: float
    freedom: float

    def minus(self, other: Measured) -> Measured:
        """The difference of two numbers that have nothing to do with each other; the surer one's days do not count."""
        freedom = min(self.freedom, other.freedom)
        return Measured(self.value - other.value, math.hypot(self.error, other.error), freedom)

    def estimate(self, confidence: float) -> Estimate:
        """With its interval; without one if the error is not known."""
        from scipy.special import stdtrit  # type: ignore[import-untyped]

        if not math.isfinite(self.value):
            return Estimate(None, None, None, "it is undefined on these rows")
        if not (math.isfinite(self.error) and self.freedom >= 1):
            return Estimate(self.value, None, None, "too few rows for an interval")
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return Estimate(self.value, self.value - half, self.value + half)

    def p_below(self) -> float:
        """How likely chance alone gives a number that is so far below zero; 1 if that cannot be said."""
        from scipy.special import stdtr

        if not (math.isfinite(self.value) and math.isfinite(self.error) and self.error > 0 and self.freedom >= 1):
            return 1.0
        return float(stdtr(self.freedom, self.value / self.error))

    def p_apart(self) -> float:
        """How likely chance alone gives a number that is so far from zero, on either side."""
        below = self.p_below()
        return 1.0 if below == 1.0 else 2 * min(below, 1 - below)


def clustered_mean(values: Floats, partitions: Any) -> Measured:
    """The mean of some rows.

    :param values: shape (rows,), at least one.
    :param partitions: each row's partition key, shape (rows,).
    """
    resampling = Resampling.of_partitions(partitions)
    mean, rows = float(values.mean()), values.size
    away = values - mean
    sums = away if resampling.groups is None else resampling.groups.sums(away)
    units = resampling.units
    if units < 2:
        return Measured(mean, math.inf, 0)
    return Measured(mean, math.sqrt(float((sums**2).sum()) * units / (units - 1)) / rows, units - 1)
