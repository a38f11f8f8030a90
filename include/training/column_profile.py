"""A column's profile: counts over fixed bins, so that other rows are counted over the same bins and counts add up.

numeric: ``edges`` e1 < … < en cut the line into n + 1 bins (-∞, e1], (e1, e2], …, (en, ∞). The first edge lies just
below the smallest value that was profiled and the last one is the greatest, so the outer bins hold what is new.
category: ``values`` are the most frequent ones with a count each; ``rare`` names the others that were seen, counted
together as ``other``; what is in neither counts as ``unseen``. boolean: false, true. ``missing`` counts nulls and NaN,
``not_finite`` infinities (and NaN where it can be told from null).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.spec.definition import FeatureType

Document = dict[str, Any]

BINS: Final = 32
TOP_CATEGORIES: Final = 50
MOST_RARE: Final = 10_000
"""So many rare categories are known by name; with more of them, ``all_known`` is false: an unseen one may be rare."""

_GREATEST_EDGE: Final = 1.7976931348623155e308
"""Edges stay below the greatest number: what counts the rows keeps the two ends for what is no number."""

REST: Final[dict[str, tuple[str, ...]]] = {
    "numeric": ("missing", "not_finite"),
    "category": ("other", "unseen", "missing"),
    "boolean": ("missing",),
}
"""What is counted besides the bins, by type, in the order of a vector."""


def profile_column(
    values: Any, kind: FeatureType, *, stretches: npt.NDArray[np.intp] | None = None, categories: Sequence[str] = ()
) -> Document:
    """Bins chosen from these values, and their counts.

    :param stretches: for each value the number of the stretch of time it is from; then ``stretches`` holds a vector of
        counts (:func:`to_vector`) for each, by which a reader can tell how much such a column varies over time.
    :param categories: of a category: the values that are bins, instead of the most frequent ones.
    """
    shape = _shape(values, kind, categories)
    if stretches is None:
        return count_like(shape, values)
    places = _places(shape, values)
    size = len(to_vector(count_like(shape, [])))
    parts = [
        np.bincount(places[stretches == number], minlength=size).tolist() for number in range(stretch_count(stretches))
    ]
    return from_vector(shape, np.bincount(places, minlength=size).tolist()) | {"stretches": parts}


def stretch_count(stretches: npt.NDArray[np.intp]) -> int:
    """How many stretches there are."""
    return int(stretches.max()) + 1 if len(stretches) else 0


def count_like(reference: Mapping[str, Any], values: Any) -> Document:
    """Counts of other values over the bins of a column's profile: a profile of the same shape."""
    size = bin_count(reference) + len(REST[reference["type"]])
    return from_vector(reference, np.bincount(_places(reference, values), minlength=size).tolist())


def bin_count(shape: Mapping[str, Any]) -> int:
    """How many bins a profile has, the rest apart."""
    if shape["type"] == "numeric":
        return len(shape["edges"]) + 1
    return len(shape["values"]) if shape["type"] == "category" else 2


def to_vector(profile: Mapping[str, Any]) -> list[int]:
    """All counts in one list: the bins', then the rest's."""
    return [*profile["counts"], *(profile[name] for name in REST[profile["type"]])]


def from_vector(shape: Mapping[str, Any], vector: Sequence[int]) -> Document:
    """The profile with the bins of ``shape`` and these counts."""
    size = bin_count(shape)
    rest = dict(zip(REST[shape["type"]], vector[size:], strict=True))
    kept = {key: shape[key] for key in ("type", "edges", "mean", "sd", "values", "rare", "all_known") if key in shape}
    return {**kept, "counts": list(vector[:size]), **rest}


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Document:
    """The profile of the rows of both; they must have the same bins.

    :raises ValueError: if the bins differ.
    """
    for key in ("type", "edges", "values"):
        if first.get(key) != second.get(key):
            raise ValueError(f"These column profiles differ in {key!r}; only counts over the same bins can be added.")
    return from_vector(first, [a + b for a, b in zip(to_vector(first), to_vector(second), strict=True)])


def _shape(values: Any, kind: FeatureType, categories: Sequence[str]) -> Document:
    if kind == "boolean":
        return {"type": kind}
    if kind == "category":
        if categories:
            return {"type": kind, "values": sorted(categories), "rare": [], "all_known": True}
        counts = _named(values).dropna().value_counts()
        ranked = sorted(
            ((str(value), int(count)) for value, count in counts.items() if count), key=lambda one: (-one[1], one[0])
        )
        names = [name for name, _ in ranked]
        rare = names[TOP_CATEGORIES : TOP_CATEGORIES + MOST_RARE]
        known = len(names) <= TOP_CATEGORIES + MOST_RARE
        return {"type": kind, "values": sorted(names[:TOP_CATEGORIES]), "rare": sorted(rare), "all_known": known}
    numbers = np.sort(_numbers(values))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return {"type": kind, "edges": [], "mean": None, "sd": None}
    # Divided first, so that numbers near the greatest do not overflow; sorted, so that the order of rows is nothing.
    scale = math.ldexp(1.0, min(math.frexp(float(np.abs(numbers).max()))[1], 1023))
    scaled = numbers / scale
    mean, deviation = float(scaled.mean()) * scale, float(scaled.std()) * scale
    return {"type": kind, "edges": _edges(numbers), "mean": mean, "sd": deviation}


def _edges(numbers: npt.NDArray[np.float64]) -> list[float]:
    """Just below the smallest number, and quantiles up to the greatest.

    :param numbers: finite and sorted.
    """
    cuts = np.quantile(numbers, np.arange(1, BINS + 1) / BINS, method="inverted_cdf")
    lowest = np.nextafter(np.maximum(numbers[0], -_GREATEST_EDGE), -np.inf)
    return [float(edge) for edge in np.unique(np.clip([lowest, *cuts], -_GREATEST_EDGE, _GREATEST_EDGE))]


def _places(shape: Mapping[str, Any], values: Any) -> npt.NDArray[np.intp]:
    """For each value its place in the vector."""
    size = bin_count(shape)
    if shape["type"] == "numeric":
        numbers = _numbers(values)
        places = np.searchsorted(np.asarray(shape["edges"], dtype=np.float64), numbers, side="left")
        return np.where(np.isfinite(numbers), places, np.where(np.isnan(numbers), size, size + 1))
    # Each different value is looked up once, however many rows have it.
    numbers_of, different = pd.factorize(_named(values))
    if shape["type"] == "boolean":
        places = np.array([int(bool(value)) for value in different] or [0], dtype=np.intp)
        return np.where(numbers_of < 0, size, places[numbers_of])
    codes = {**dict.fromkeys(shape["rare"], size), **{value: place for place, value in enumerate(shape["values"])}}
    places = np.array([codes.get(str(value), size + 1) for value in different] or [0], dtype=np.intp)
    return np.where(numbers_of < 0, size + 2, places[numbers_of])


def _named(values: Any) -> pd.Series:
    """Values that are no numbers: categories as they are, all others as objects."""
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        return pd.Series(values)
    return pd.Series(values, dtype=object)


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    series = pd.to_numeric(pd.Series(values), errors="raise")
    numbers: npt.NDArray[np.float64] = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers
