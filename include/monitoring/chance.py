"""How likely a difference between two column profiles is by chance, and the smallest one that chance cannot explain.

Kolmogorov-Smirnov for numbers, chi-squared for categories and booleans, the test of two proportions for missing
values. All take rows as independent; what days have in common is :mod:`include.monitoring.variation`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from include.monitoring.distances import Counts, kolmogorov_smirnov, total_variation

#: Chi-squared is not trusted with fewer expected rows in a cell (Cochran 1954); such categories are put together.
_FEWEST_EXPECTED: Final = 5


def p_numbers(reference: Counts, current: Counts) -> float:
    """Of two samples' binned numbers (Kolmogorov-Smirnov, asymptotic, with Stephens' 1970 correction of small samples).

    Bins hide differences within them, so it errs towards a greater p.
    """
    size = math.sqrt(_effective(reference, current))
    return _kolmogorov((size + 0.12 + 0.11 / size) * kolmogorov_smirnov(reference, current))


def p_categories(reference: Counts, current: Counts) -> float:
    """Of two samples' categories (Pearson's chi-squared; rare categories put together)."""
    statistic, freedom = _chi_squared(reference, current)
    return _chi_squared_above(statistic, freedom) if freedom else 1.0


def p_shares(first: int, of_first: int, second: int, of_second: int) -> float:
    """Of two shares, such as of missing values (two proportions, pooled; two-sided)."""
    pooled = (first + second) / (of_first + of_second)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of_first + 1 / of_second))
    if not error:
        return 1.0
    return math.erfc(abs(first / of_first - second / of_second) / error / math.sqrt(2))


def seen_numbers(reference: Counts, current: Counts, p: float) -> float:
    """The Kolmogorov-Smirnov distance that chance exceeds with the probability ``p``."""
    return math.sqrt(-math.log(p / 2) / 2 / _effective(reference, current))


def seen_categories(reference: Counts, current: Counts, p: float) -> float:
    """The total variation from which on chi-squared is sure to have a smaller p: half the root of chi-squared by size.

    (By Cauchy and Schwarz, chi-squared is at least four times the size times the total variation squared.)
    """
    from scipy.special import chdtri  # type: ignore[import-untyped]

    freedom = max(int(np.count_nonzero(reference + current)) - 1, 1)
    return math.sqrt(float(chdtri(freedom, p)) / _effective(reference, current)) / 2


def beyond_chance(reference: Counts, current: Counts, *, numeric: bool) -> float:
    """What of the distance between two samples chance does not explain: 0 in 19 of 20 cases without any difference."""
    if numeric:
        return max(kolmogorov_smirnov(reference, current) - seen_numbers(reference, current, 0.05), 0.0)
    shares = (reference + current) / (reference + current).sum()
    # Mean distance by chance, and two deviations of it: the categories' differences are nearly independent.
    each = np.sqrt(shares * (1 - shares) / _effective(reference, current))
    expected = float(each.sum() * math.sqrt(2 / math.pi) / 2)
    spread = math.sqrt(float(np.sum(each**2)) * (1 - 2 / math.pi)) / 2
    return max(total_variation(reference, current) - expected - 2 * spread, 0.0)


def holm(chances: Sequence[float]) -> list[float]:
    """The p-values corrected for being several (Holm 1979): that any of them is small by chance stays as unlikely."""
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected, largest = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(chances[place] * (len(chances) - rank), 1.0))
        corrected[place] = largest
    return corrected


def _effective(reference: Counts, current: Counts) -> float:
    """Rows of one sample that would tell as much as these two."""
    first, second = float(reference.sum()), float(current.sum())
    return first * second / (first + second)


def _kolmogorov(value: float) -> float:
    """Chance that Kolmogorov's statistic is greater."""
    if value < 0.2:
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * value) ** 2) for k in range(1, 101))
    return float(min(max(sum(terms), 0.0), 1.0))


def _chi_squared(reference: Counts, current: Counts) -> tuple[float, int]:
    """Statistic and degrees of freedom."""
    first, second = float(reference.sum()), float(current.sum())
    both = reference + current
    rare = both * min(first, second) / (first + second) < _FEWEST_EXPECTED
    cells = [np.append(side[~rare], side[rare].sum()) for side in (reference, current)]
    used = cells[0] + cells[1] > 0
    before, now = cells[0][used], cells[1][used]
    expected = (before + now) * first / (first + second)
    error = (before - expected) ** 2
    return float(np.sum(error / expected + error / (before + now - expected))), len(before) - 1


def _chi_squared_above(statistic: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic))
