"""Distances between two column profiles over the same bins, in the units in which people read them.

All are of counts alone, so they cost nothing however many rows were counted. Within a bin numbers count as spread
evenly; beyond the profiled range they count as lying at its end, so that no single number can make a distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Profile = Mapping[str, Any]
Counts = npt.NDArray[np.float64]

#: Half a row is added to every bin of both sides, so that an empty bin gives a large but finite PSI.
SMOOTHING: Final = 0.5
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Bin:
    """One bin with both sides' rows.

    :param name: what a reader sees: a range, a category, "(missing)".
    """

    name: str
    reference: int
    current: int


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far a column moved.

    :param psi: population stability index, over the bins and what is missing.
    :param psi_by_chance: PSI to expect without any drift, from the numbers of rows and bins.
    :param jensen_shannon: square root of the Jensen-Shannon divergence to the base 2, 0 to 1, over the same.
    :param kolmogorov_smirnov: of numbers: greatest distance of the cumulative shares, 0 to 1.
    :param wasserstein: of numbers: in standard deviations of the reference; None if it has none.
    :param total_variation: of categories and booleans: share of the rows that are in other categories, 0 to 1.
    :param unseen: of categories: share of the rows with a category that training had not; of numbers: beyond its range.
    """

    psi: float
    psi_by_chance: float
    jensen_shannon: float
    kolmogorov_smirnov: float | None
    wasserstein: float | None
    total_variation: float | None
    unseen: float | None


def measure(reference: Profile, current: Profile) -> Distances:
    """All distances of a column that has rows on both sides; of the values if it has some on both sides."""
    before, now = all_counts(reference), all_counts(current)
    first, second = value_counts(reference), value_counts(current)
    numeric, comparable = reference["type"] == "numeric", bool(first.sum() and second.sum())
    return Distances(
        psi=psi(before, now),
        psi_by_chance=expected_by_chance(before, now),
        jensen_shannon=jensen_shannon(before, now),
        kolmogorov_smirnov=kolmogorov_smirnov(first, second) if numeric and comparable else None,
        wasserstein=wasserstein(reference, first, second) if numeric and comparable else None,
        total_variation=None if numeric or not comparable else total_variation(first, second),
        unseen=_unseen(current, second),
    )


def value_counts(profile: Profile) -> Counts:
    """Rows by bin, without those that have no value. Rare and unseen categories are a bin each."""
    rest = (profile["other"], profile["unseen"]) if profile["type"] == "category" else ()
    return np.array([*profile["counts"], *rest], dtype=np.float64)


def absent_count(profile: Profile) -> int:
    """Rows without a value: missing, or no finite number."""
    return int(profile["missing"] + profile.get("not_finite", 0))


def all_counts(profile: Profile) -> Counts:
    """Rows by bin; those without a value are the last bin."""
    return np.append(value_counts(profile), float(absent_count(profile)))


def psi(reference: Sequence[float] | Counts, current: Sequence[float] | Counts) -> float:
    """Population stability index: sum of (q - p) ln(q / p), each side smoothed by half a row for each bin.

    :returns: 0 for equal shares; never NaN or infinite. 0 if a side has no rows at all.
    """
    before, now = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if not before.sum() or not now.sum():
        return 0.0
    expected, found = (_shares(side + SMOOTHING) for side in (before, now))
    return float(np.sum((found - expected) * np.log(found / expected)))


def expected_by_chance(reference: Sequence[float] | Counts, current: Sequence[float] | Counts) -> float:
    """PSI to expect when both sides come from the same distribution: bins that hold rows, less one, by both sizes.

    Infinite if a side has no rows.
    """
    before, now = np.asarray(reference), np.asarray(current)
    if not before.sum() or not now.sum():
        return math.inf
    used = int(np.count_nonzero(before + now))
    return max(used - 1, 0) * float(1 / before.sum() + 1 / now.sum())


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Square root of the Jensen-Shannon divergence to the base 2 (Endres and Schindelin 2003): 0 to 1, a metric."""
    first, second = _shares(reference), _shares(current)
    middle = (first + second) / 2
    parts = [np.sum(side[side > 0] * np.log2(side[side > 0] / middle[side > 0])) for side in (first, second)]
    return math.sqrt(max(float(sum(parts)) / 2, 0.0))


def kolmogorov_smirnov(reference: Counts, current: Counts) -> float:
    """Greatest distance of the cumulative shares at the bins' edges."""
    return float(np.abs(np.cumsum(_shares(reference)) - np.cumsum(_shares(current))).max())


def total_variation(reference: Counts, current: Counts) -> float:
    """Half the sum of the shares' differences: the share of the rows that are in other bins."""
    return float(np.abs(_shares(reference) - _shares(current)).sum() / 2)


def wasserstein(profile: Profile, reference: Counts, current: Counts) -> float | None:
    """Area between the cumulative shares, in the reference's standard deviations, within the reference's range."""
    edges, deviation = np.asarray(profile["edges"], dtype=np.float64), profile["sd"]
    if not deviation:
        return None
    apart = np.abs(np.cumsum(_shares(reference)) - np.cumsum(_shares(current)))[: len(edges)]
    # Each edge is divided by itself before the difference: numbers near the greatest would overflow.
    widths = np.diff(edges / deviation)
    return float(np.sum((apart[1:] + apart[:-1]) / 2 * widths))


def bins_of(reference: Profile, current: Profile) -> list[Bin]:
    """The bins of two column profiles; missing is a bin, so are other and unseen categories.

    Bins that hold no row on either side are left out.
    """
    rest = [name for name in ("other", "unseen", "not_finite", "missing") if name in reference]
    names = [*_names(reference), *(f"({name.replace('_', ' ')})" for name in rest)]
    sides = [[*side["counts"], *(side[name] for name in rest)] for side in (reference, current)]
    pairs = zip(names, *sides, strict=True)
    return [Bin(name, int(before), int(now)) for name, before, now in pairs if before or now]


def _shares(counts: Counts) -> Counts:
    total = counts.sum()
    return counts / total if total else counts


def _unseen(current: Profile, values: Counts) -> float | None:
    if current["type"] == "boolean" or not values.sum():
        return None
    new = current["unseen"] if current["type"] == "category" else values[0] + values[-1]
    return float(new / values.sum())


def _names(profile: Profile) -> list[str]:
    if profile["type"] == "category":
        return [str(value) for value in profile["values"]]
    if profile["type"] == "boolean":
        return ["no", "yes"]
    # An edge just below zero is zero to a reader.
    edges = [f"{edge if abs(edge) > _TINY else 0.0:.4g}" for edge in profile["edges"]]
    if not edges:
        return ["any"]
    middle = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *middle, f"above {edges[-1]}"]
