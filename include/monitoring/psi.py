"""Population stability index between two counts over the same bins, and how much of it is only chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

#: Half a row is added to every bin of both sides, so that an empty bin gives a large but finite distance.
SMOOTHING: Final = 0.5


@dataclass(frozen=True)
class Bin:
    """One bin with both sides' rows.

    :param name: what a reader sees: a range, a category, "(missing)".
    """

    name: str
    reference: int
    current: int


def psi(reference: Sequence[int], current: Sequence[int]) -> float:
    """PSI of two counts over the same bins, each smoothed by half a row for each bin.

    :returns: 0 for equal shares; never NaN or infinite. 0 if a side has no rows at all.
    """
    expected, found = _shares(reference), _shares(current)
    if expected is None or found is None:
        return 0.0
    return float(np.sum((found - expected) * np.log(found / expected)))


def expected_by_chance(reference: Sequence[int], current: Sequence[int]) -> float:
    """PSI to expect when both sides come from the same distribution: bins that hold rows, less one, by both sizes.

    Infinite if a side has no rows.
    """
    first, second = sum(reference), sum(current)
    if first == 0 or second == 0:
        return math.inf
    used = sum(1 for pair in zip(reference, current, strict=True) if any(pair))
    return max(used - 1, 0) * (1 / first + 1 / second)


def _shares(counts: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    values = np.asarray(counts, dtype=np.float64)
    if values.sum() == 0:
        return None
    smoothed = values + SMOOTHING
    shares: np.ndarray[Any, np.dtype[np.float64]] = smoothed / smoothed.sum()
    return shares


def bins_of(reference: Mapping[str, Any], current: Mapping[str, Any]) -> list[Bin]:
    """The bins of two column profiles (:mod:`include.training.profile`); missing is a bin, so are other categories.

    Bins that hold no row on either side are left out.
    """
    names = [*_names(reference), *(["(other or unseen)"] if "other" in reference else []), "(missing)"]
    sides = [
        [*side["counts"], *([side["other"]] if "other" in reference else []), side["missing"]]
        for side in (reference, current)
    ]
    pairs = zip(names, *sides, strict=True)
    return [Bin(name, int(before), int(now)) for name, before, now in pairs if before or now]


def _names(profile: Mapping[str, Any]) -> list[str]:
    if profile["type"] == "category":
        return [str(value) for value in profile["values"]]
    if profile["type"] == "boolean":
        return ["no", "yes"]
    edges = [f"{edge:.4g}" for edge in profile["edges"]]
    if not edges:
        return ["any"]
    middle = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *middle, f"above {edges[-1]}"]
