"""Metrics of predicted probabilities of several classes, under many weightings of the same rows at once.

Averages over classes are macro averages: each class counts the same, however rare it is; a class for which a measure is
undefined in a resample is left out of that average. ROC AUC is that of each class against all others (Fawcett, An
introduction to ROC analysis, 2006, section 8.2, without its weights); the Brier score is the sum over the classes
(Brier, Verification of forecasts expressed in terms of probability, 1950), 0 to 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.evaluation.grouping import Floats, Groups, ratio
from include.evaluation.ranking import Ranking
from include.evaluation.scoring import Points


def _mean_of_defined(by_class: Floats) -> Floats:
    """Mean over the classes, shape (weightings, classes) to (weightings,), of those where it is defined."""
    defined = np.isfinite(by_class)
    return ratio(np.where(defined, by_class, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


class MulticlassScorer(Points):
    """Metrics of probabilities, shape (rows, classes), against the places of the true classes, shape (rows,)."""

    def __init__(self, labels: Floats, predictions: Floats) -> None:
        self._labels = labels.astype(np.intp)
        self._classes = predictions.shape[1]
        self._said = predictions.argmax(axis=1)  # of equal ones the first
        is_class = np.eye(self._classes)[self._labels]
        says_class = np.eye(self._classes)[self._said]
        smallest = np.finfo(np.float64).eps
        of_truth = np.clip(predictions[np.arange(labels.size), self._labels], smallest, 1 - smallest)
        squares = ((predictions - is_class) ** 2).sum(axis=1)
        self._columns = np.column_stack((-np.log(of_truth), squares, is_class, says_class, is_class * says_class))
        self._rankings = [
            Ranking(is_class[:, place], predictions[:, place])
            for place in range(self._classes)
            if 0 < is_class[:, place].sum() < labels.size
        ]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._labels.size)

    def confusion(self) -> NDArray[np.int64]:
        """How many rows of each true class (first axis) got each answer (second axis)."""
        counts = np.bincount(self._labels * self._classes + self._said, minlength=self._classes**2)
        return counts.reshape(self._classes, self._classes)

    def score(self, weights: Floats) -> dict[str, Floats]:
        """All multiclass metrics for each weighting; NaN where undefined."""
        aucs = [ranking.of_rows(weights)[0] for ranking in self._rankings]
        return self._metrics(weights.sum(axis=1), weights @ self._columns, aucs)

    def score_groups(self, counts: Floats, groups: Groups) -> dict[str, Floats]:
        """The same where all rows of a group count the same."""
        aucs = [ranking.of_groups(counts, groups)[0] for ranking in self._rankings]
        return self._metrics(counts @ groups.sizes, counts @ groups.sums(self._columns), aucs)

    def _metrics(self, total: Floats, sums: Floats, aucs: Sequence[Floats]) -> dict[str, Floats]:
        loss, squares, *by_class = sums.T
        true, said, right = np.asarray(by_class).reshape(3, self._classes, -1).transpose(0, 2, 1)
        return {
            "accuracy": ratio(right.sum(axis=1), total),
            "macro_f1": _mean_of_defined(ratio(2 * right, true + said)),
            "roc_auc": _mean_of_defined(np.column_stack(aucs)) if aucs else np.full(total.shape, np.nan),
            "log_loss": ratio(loss, total),
            "brier": ratio(squares, total),
        }

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows."""
        if metric == "roc_auc" and not self._rankings:
            return f"all of the {self.rows} rows are of one class"
        return "it is undefined on these rows"

    def by_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """For each class its name, rows, precision, recall and F1; null where nothing is divided by."""
        counts = self.confusion()
        return [
            {
                "class": name,
                "rows": int(counts[place].sum()),
                "answers": int(counts[:, place].sum()),
                "precision": _share(counts[place, place], counts[:, place].sum()),
                "recall": _share(counts[place, place], counts[place].sum()),
                "f1": _share(2 * counts[place, place], counts[place].sum() + counts[:, place].sum()),
            }
            for place, name in enumerate(names)
        ]

    def right(self) -> Floats:
        """1 for each row whose answer is its class, else 0."""
        right: Floats = (self._said == self._labels).astype(np.float64)
        return right


def _share(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
