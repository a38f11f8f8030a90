"""Bounds at any confidence, however small the tail: exact for shares, by a jackknife over groups for everything else.

A resampling interval at a tail of one in ten thousand needs many ten thousands of resamples. The jackknife needs one
weighting for each group and Student's quantile: the same for every metric, and the same numbers each time it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from include.evaluation.grouping import Floats

#: Fewest groups that an interval is made from; with fewer its own width is not known.
FEWEST_GROUPS: Final = 10
#: Most groups: more say little more of the width, and each costs a pass over the rows.
MOST_GROUPS: Final = 60
#: Weights that are made at a time: some megabytes, so that they stay in the processor's cache.
_BLOCK: Final = 400_000

Groups = NDArray[np.intp]


@dataclass(frozen=True)
class Spread:
    """A value and what its groups say of its luck.

    :param value: on all rows.
    :param error: its standard error; NaN if the groups leave it undefined.
    :param groups: how many groups it was made from.
    """

    value: float
    error: float
    groups: int

    @property
    def defined(self) -> bool:
        """Whether there are a value and a standard error."""
        return math.isfinite(self.value) and math.isfinite(self.error)

    def low(self, alpha: float) -> float:
        """The lower bound that lies above the truth with probability ``alpha``."""
        return self.value - student_quantile(alpha, self.groups - 1) * self.error

    def high(self, alpha: float) -> float:
        """The upper bound that lies below the truth with probability ``alpha``."""
        return self.value + student_quantile(alpha, self.groups - 1) * self.error

    def widened(self, error: float) -> Spread:
        """The same value with more luck: a standard error of its own, independent of this one."""
        return Spread(self.value, math.hypot(self.error, error), self.groups)

    def minus(self, other: Spread) -> Spread:
        """The difference of two independent values (Welch, with the smaller number of groups)."""
        error = math.hypot(self.error, other.error)
        return Spread(self.value - other.value, error, min(self.groups, other.groups))


def student_quantile(alpha: float, degrees: int) -> float:
    """What a Student variable exceeds with probability ``alpha``.

    The expansion in 1/degrees (Abramowitz and Stegun, 26.7.5), within one in a thousand from nine degrees on, for tails
    down to one in ten thousand.

    :param alpha: between 0 and 0.5.
    :param degrees: at least 1.
    """
    x = NormalDist().inv_cdf(1 - alpha)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return float(sum(term / degrees**power for power, term in enumerate(terms)))


def tail(count: int, of: int, share: float) -> float:
    """The probability of ``count`` or more out of ``of``, if each happens with probability ``share`` (exact)."""
    if count <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    k = np.arange(count, of + 1)
    logs = k * math.log(share) + (of - k) * math.log1p(-share) - _log_factorials(k) - _log_factorials(of - k)
    return float(min(1.0, np.exp(logs + math.lgamma(of + 1)).sum()))


def lowest_share(count: int, of: int, alpha: float) -> float:
    """The exact lower bound of a share (Clopper and Pearson, 1934): it lies above the truth with at most ``alpha``."""
    if count <= 0 or of <= 0:
        return 0.0
    low, high = 0.0, count / of
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(count, of, middle) < alpha else (low, middle)
    return low


def _log_factorials(k: NDArray[np.int_]) -> Floats:
    """log(k!) by Stirling's series, exact to 1e-10; small ones from a table."""
    small = np.array([math.lgamma(n + 1) for n in range(16)])
    n = np.maximum(k, 16).astype(np.float64) + 1
    series = (n - 0.5) * np.log(n) - n + 0.5 * math.log(2 * math.pi) + 1 / (12 * n) - 1 / (360 * n**3)
    return np.where(k < 16, small[np.minimum(k, 15)], series + 1 / (1260 * n**5))


def median_bounds(values: Floats, alpha: float) -> tuple[float, float]:
    """Bounds of the median from the ordered values, without any assumption on them; each is wrong with ``alpha``.

    :param values: shape (n,), n at least 1.
    """
    ordered = np.sort(values)
    n = ordered.size
    reach = NormalDist().inv_cdf(1 - alpha) * math.sqrt(n) / 2
    first = max(0, math.floor(n / 2 - reach) - 1)
    return float(ordered[first]), float(ordered[n - 1 - first])


def grouped(keys: NDArray[Any], *, rows_in_group: int = 10) -> Groups:
    """Which group each row belongs to: whole clusters if there are ten or more, else neighbouring rows.

    :param keys: each row's cluster (an entity), or its time, of which the day is the cluster, else the hour; shape
        (rows,), in the order of arrival.
    :param rows_in_group: fewest rows of a group of neighbours.
    :returns: 0 to groups - 1, shape (rows,); fewer than :data:`FEWEST_GROUPS` groups if there are too few rows.
    """
    for clusters in _clusterings(np.asarray(keys)):
        names, numbers = np.unique(clusters, return_inverse=True)
        if names.size >= FEWEST_GROUPS:
            many = min(MOST_GROUPS, int(names.size))
            return np.asarray(numbers * many // names.size, dtype=np.intp)
    rows = int(np.size(keys))
    many = max(1, min(MOST_GROUPS, rows // rows_in_group))
    return np.arange(rows, dtype=np.intp) * many // max(rows, 1)


def _clusterings(keys: NDArray[Any]) -> list[NDArray[Any]]:
    if keys.dtype.kind != "M":
        return [keys]
    return [keys.astype("datetime64[D]"), keys.astype("datetime64[h]")]


def jackknife(statistic: Callable[[Floats], Floats], groups: Groups) -> Spread:
    """A statistic's value and standard error by leaving out one group after the other.

    The delete-a-group jackknife (Quenouille, 1956; Shao and Tu, The Jackknife and Bootstrap, 1995, sections 2.3 and
    5.1); with clusters as groups the luck that a cluster's rows share is in it.

    :param statistic: takes weightings of the rows, shape (weightings, rows), and gives shape (weightings,).
    :param groups: each row's group, shape (rows,).
    """
    many = int(groups.max()) + 1 if groups.size else 0
    if not many:
        return Spread(math.nan, math.nan, 0)
    step = max(1, _BLOCK // groups.size)
    left_out = np.arange(-1, many)  # -1: nobody
    values = np.concatenate(
        [
            statistic((groups != left_out[first : first + step, None]).astype(np.float64))
            for first in range(0, many + 1, step)
        ]
    )
    whole, without = float(values[0]), values[1:]
    if many < FEWEST_GROUPS or not np.isfinite(values).all():
        return Spread(whole, math.nan, many)
    return Spread(whole, math.sqrt((many - 1) / many * float(((without - without.mean()) ** 2).sum())), many)
