"""Reference profiles: how each feature was distributed in the training part, small enough to travel with the model.

A column's profile holds counts over fixed bins, so that new data is counted over the same bins (:func:`count_like`)
and counts of several days add up (:func:`merge`). Monitoring reads it from ``profile.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.spec.definition import FeatureType, Task
from include.training.packaged_model import PREFIX, is_null, likeliest

Document = dict[str, Any]

FORMAT = 1
BINS = 10
TOP_CATEGORIES = 30


def make_profile(
    frame: pd.DataFrame,
    feature_types: Mapping[str, FeatureType],
    *,
    predictions: Any,
    labels: Any,
    task: Task,
    classes: Sequence[str] = (),
) -> Document:
    """The profile of a model.

    :param frame: rows of the training part with a column ``feature_<name>`` for each feature.
    :param predictions: the model's predictions on the holdout part, which it never saw.
    :param labels: labels of the holdout part.
    :param classes: of a multiclass classification. Its labels and predictions are profiled as categories.
    """
    return {
        "format": FORMAT,
        "rows": len(frame),
        "features": {name: profile_column(frame[PREFIX + name], kind) for name, kind in feature_types.items()},
        "holdout_rows": len(labels),
        "prediction": _profile_answers(predictions, classes),
        "label": _profile_labels(labels, task, classes),
    }


def _profile_answers(predictions: Any, classes: Sequence[str]) -> Document:
    if not classes:
        return profile_column(predictions, "numeric")
    return _profile_classes(likeliest(np.reshape(predictions, (-1, len(classes)))), classes)


def _profile_labels(labels: Any, task: Task, classes: Sequence[str]) -> Document:
    if classes:
        return _profile_classes(np.asarray(labels), classes)
    binary = task == "binary_classification"
    return profile_column(np.asarray(labels) > 0 if binary else labels, "boolean" if binary else "numeric")


def _profile_classes(places: Any, classes: Sequence[str]) -> Document:
    """Counts of all classes, in the order of the classes' names, also of those that no row has."""
    names = [classes[int(place)] for place in places]
    return count_like({"type": "category", "values": sorted(classes)}, names)


def profile_column(values: Any, kind: FeatureType) -> Document:
    """Bins chosen from these values, and their counts.

    numeric: ``edges`` e1 < … < en cut the line into n + 1 bins (-∞, e1], (e1, e2], …, (en, ∞); ``counts`` has n + 1
    numbers. category: ``values`` are the most frequent ones, ``other`` counts the rest. boolean: false, true.
    ``missing`` counts nulls (and what is not finite).
    """
    if kind == "numeric":
        numbers = _finite(values)
        cuts = np.quantile(numbers, np.arange(1, BINS) / BINS, method="inverted_cdf") if len(numbers) else numbers
        shape: Document = {"type": kind, "edges": [float(edge) for edge in np.unique(cuts)]}
    elif kind == "boolean":
        shape = {"type": kind}
    else:
        counts = _text(values).value_counts()
        by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        shape = {"type": kind, "values": sorted(value for value, _ in by_count[:TOP_CATEGORIES])}
    return count_like(shape, values)


def count_like(reference: Mapping[str, Any], values: Any) -> Document:
    """Counts of other values over the bins of a column's profile: a profile of the same shape.

    A category that the reference does not name counts as ``other``.
    """
    kind = reference["type"]
    if kind == "numeric":
        numbers = _finite(values)
        places = np.searchsorted(np.asarray(reference["edges"], dtype=np.float64), numbers, side="left")
        counts = np.bincount(places, minlength=len(reference["edges"]) + 1)
        return {
            "type": kind,
            "edges": list(reference["edges"]),
            "counts": counts.tolist(),
            "missing": len(values) - len(numbers),
        }
    if kind == "boolean":
        present = [bool(value) for value in values if not is_null(value)]
        yes = sum(present)
        return {"type": kind, "counts": [len(present) - yes, yes], "missing": len(values) - len(present)}
    texts = _text(values)
    found = texts.value_counts()
    counts_by_value = [int(found.get(value, 0)) for value in reference["values"]]
    return {
        "type": kind,
        "values": list(reference["values"]),
        "counts": counts_by_value,
        "other": len(texts) - sum(counts_by_value),
        "missing": len(values) - len(texts),
    }


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Document:
    """The profile of the rows of both; they must have the same bins.

    :raises ValueError: if the bins differ.
    """
    for key in ("type", "edges", "values"):
        if first.get(key) != second.get(key):
            raise ValueError(f"These column profiles differ in {key!r}; only counts over the same bins can be added.")
    merged = dict(first)
    merged["counts"] = [a + b for a, b in zip(first["counts"], second["counts"], strict=True)]
    for key in ("other", "missing"):
        if key in first:
            merged[key] = first[key] + second[key]
    return merged


def _finite(values: Any) -> npt.NDArray[np.float64]:
    series = pd.to_numeric(pd.Series(values), errors="raise")
    numbers: npt.NDArray[np.float64] = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers[np.isfinite(numbers)]


def _text(values: Any) -> pd.Series:
    return pd.Series(values, dtype=object).dropna()
