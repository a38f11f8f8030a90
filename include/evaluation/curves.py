"""What the pages draw: the ROC curve, calibration, residuals — as a few points, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from include.evaluation.grouping import Floats
from include.evaluation.scoring import sum_of_costs
from include.spec.costs import Costs

_POINTS: Final = 60
_BINS: Final = 10


def roc_curve(labels: Floats, predictions: Floats) -> list[list[float]] | None:
    """Points ``[false positive rate, true positive rate]`` from (0, 0) to (1, 1); None with only one class."""
    positive = labels == 1
    if not positive.any() or positive.all():
        return None
    order = np.argsort(-predictions, kind="stable")
    ranked = predictions[order]
    last = np.flatnonzero(np.concatenate((ranked[1:] != ranked[:-1], [True])))
    found = np.cumsum(positive[order])[last] / positive.sum()
    false = np.cumsum(~positive[order])[last] / (~positive).sum()
    x, y = np.concatenate(([0.0], false)), np.concatenate(([0.0], found))
    if x.size > _POINTS:
        keep = np.unique(np.searchsorted(x + y, np.linspace(0, 2, _POINTS)).clip(0, x.size - 1))
        keep = np.union1d(keep, [0, x.size - 1])
        x, y = x[keep], y[keep]
    return [[round(float(a), 5), round(float(b), 5)] for a, b in zip(x, y, strict=True)]


def precision_recall_curve(labels: Floats, predictions: Floats) -> list[list[float]] | None:
    """Points ``[recall, precision]`` from the strictest threshold to the loosest; None without a positive label.

    Some sixty at equal steps of recall, each as it was measured: nothing is smoothed between them.
    """
    positive = labels == 1
    if not positive.any():
        return None
    order = np.argsort(-predictions, kind="stable")
    ranked = predictions[order]
    last = np.flatnonzero(np.concatenate((ranked[1:] != ranked[:-1], [True])))
    found = np.cumsum(positive[order])[last]
    recall, precision = found / positive.sum(), found / (last + 1)
    if recall.size > _POINTS:
        keep = np.unique(np.searchsorted(recall, np.linspace(0, 1, _POINTS)).clip(0, recall.size - 1))
        recall, precision = recall[keep], precision[keep]
    return [[round(float(a), 5), round(float(b), 5)] for a, b in zip(recall, precision, strict=True)]


def class_curves(labels: Floats, probabilities: Floats, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The curves of each class against all others: ``class``, ``roc``, ``pr`` (None where the rows have one side only).

    :param labels: the place of each row's class.
    :param probabilities: shape (rows, classes).
    """
    sides = (
        (name, (labels == place).astype(np.float64), probabilities[:, place]) for place, name in enumerate(classes)
    )
    return [
        {"class": name, "roc": roc_curve(one, scores), "pr": precision_recall_curve(one, scores)}
        for name, one, scores in sides
    ]


def cost_curve(labels: Floats, predictions: Floats, costs: Costs) -> list[list[float]]:
    """Points ``[threshold, mean cost of a row]`` at thresholds from 0 to 1, 0.01 apart."""
    thresholds = np.linspace(0, 1, 101)
    positive = np.sort(predictions[labels == 1])
    negative = np.sort(predictions[labels != 1])
    missed, right_no = (np.searchsorted(part, thresholds, side="left").astype(float) for part in (positive, negative))
    total = sum_of_costs(costs, positive.size - missed, negative.size - right_no, missed, right_no)
    means = (total / max(labels.size, 1)).tolist()
    return [[round(float(at), 2), float(mean)] for at, mean in zip(thresholds, means, strict=True)]


def calibration(labels: Floats, predictions: Floats) -> list[dict[str, float]]:
    """Groups of equal size by predicted probability: mean prediction, share of positive labels, rows."""
    order = np.argsort(predictions, kind="stable")
    return [
        {
            "predicted": float(predictions[part].mean()),
            "observed": float(labels[part].mean()),
            "rows": int(part.size),
        }
        for part in np.array_split(order, min(_BINS, labels.size))
        if part.size
    ]


def residuals(labels: Floats, predictions: Floats) -> dict[str, Any]:
    """Errors (prediction − label): quantiles, histogram between the 1st and 99th percentile, and bias by prediction.

    ``histogram``: ``edges`` (bins + 1) and ``counts`` (bins; errors beyond the edges count at the ends).
    """
    error = predictions - labels
    low, high = np.quantile(error, (0.01, 0.99))
    edges = np.linspace(low, high, 31) if high > low else np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(np.clip(error, edges[0], edges[-1]), bins=edges)
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        "mean": float(error.mean()),
        "quantiles": {
            f"{share:g}": float(value) for share, value in zip(shares, np.quantile(error, shares), strict=True)
        },
        "histogram": {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]},
        "by_prediction": calibration(labels, predictions),
    }
