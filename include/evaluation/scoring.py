"""Metrics of one model's predictions under many weightings of the same rows at once.

A weighting is a row of counts: how often each row is in a resample. All ones is the sample itself. Sorting and whatever
else does not depend on the counts happens once: a thousand resamples cost some matrix products and cumulative sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from include.errors import Refused
from include.spec.costs import Costs
from include.spec.definition import Task

if TYPE_CHECKING:
    from include.evaluation.objective import RowObjective, RowValues

Floats = NDArray[np.float64]

NOTHING_COUNTS: Final = "the objective counts none of these rows"


class UnusablePredictions(Refused):
    """Predictions or labels that no metric can be computed from; carries whose they are and what is wrong."""

    def __init__(self, whose: str, problem: str) -> None:
        self.whose = whose
        self.problem = problem
        super().__init__(f"The predictions of {whose} cannot be evaluated: {problem}")


class Scorer(Protocol):
    """One model's predictions on a fixed set of rows."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Metrics for each weighting: arrays of shape (weightings,), NaN where a metric is undefined.

        :param weights: counts of shape (weightings, rows).
        """

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows, in a sentence for a person."""


def make_scorer(
    task: Task,
    labels: Floats,
    predictions: Floats,
    *,
    threshold: float,
    whose: str,
    costs: Costs | None = None,
    objective: RowObjective | None = None,
) -> Scorer:
    """A scorer for the task.

    :param labels: shape (rows,); 0 or 1 for binary classification, the class's place for a multiclass one.
    :param predictions: shape (rows,); probabilities of 1, or values. For multiclass classification the probabilities
        of the classes, shape (rows, classes).
    :param threshold: probability from which the answer is yes.
    :param whose: the model's name in messages.
    :param costs: what answers cost, if that is known.
    :param objective: the business's own number for these rows, if there is one.
    :raises UnusablePredictions: if there are no rows, lengths differ, or values are not finite or not in range.
    """
    labels = np.asarray(labels, dtype=np.float64)
    predictions = np.asarray(predictions, dtype=np.float64)
    _check(task, labels, predictions, whose)
    if task == "binary_classification":
        return BinaryScorer(labels, predictions, threshold, costs, objective)
    if task == "multiclass_classification":
        from include.evaluation.class_scoring import MulticlassScorer

        return MulticlassScorer(labels, predictions)
    return RegressionScorer(labels, predictions, objective)


def _check(task: Task, labels: Floats, predictions: Floats, whose: str) -> None:
    answers = predictions.shape[:1] if task == "multiclass_classification" and predictions.ndim == 2 else None
    if labels.ndim != 1 or labels.shape != (answers or predictions.shape):
        raise UnusablePredictions(whose, f"there are {labels.shape} labels and {predictions.shape} predictions.")
    if not labels.size:
        raise UnusablePredictions(whose, "there is no row.")
    for name, values in (("label", labels), ("prediction", predictions)):
        broken = int((~np.isfinite(values)).sum())
        if broken:
            raise UnusablePredictions(whose, f"{broken} of {values.size} {name}s are missing or not finite.")
    if task == "multiclass_classification":
        if answers is None or not np.isin(labels, np.arange(predictions.shape[1])).all():
            raise UnusablePredictions(whose, "a label is none of the classes that are predicted.")
        if predictions.min() < 0 or predictions.max() > 1:
            raise UnusablePredictions(whose, "a prediction is not a probability between 0 and 1.")
    if task == "binary_classification":
        if not np.isin(labels, (0.0, 1.0)).all():
            raise UnusablePredictions(whose, "a label is neither 0 nor 1; a binary label must be a yes or no.")
        if predictions.min() < 0 or predictions.max() > 1:
            raise UnusablePredictions(whose, "a prediction is not a probability between 0 and 1.")


def _ratio(above: Floats, below: Floats) -> Floats:
    result: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result


def _of_objective(values: RowValues | None, weights: Floats) -> dict[str, Floats]:
    """The objective for each weighting: the sum of its numbers over the sum of what they are divided by."""
    if values is None:
        return {}
    per = weights @ values.per
    return {"objective": np.divide(weights @ values.number, per, out=np.full(per.shape, np.nan), where=per != 0)}


class BinaryScorer:
    """Metrics of predicted probabilities against labels 0 and 1."""

    def __init__(
        self,
        labels: Floats,
        predictions: Floats,
        threshold: float,
        costs: Costs | None = None,
        objective: RowObjective | None = None,
    ) -> None:
        self._labels, self._threshold, self._costs = labels, threshold, costs
        decided = (predictions >= threshold).astype(np.float64)
        self._decided = decided
        self._objective = objective.values(labels, predictions, decided) if objective else None
        smallest = np.finfo(np.float64).eps
        probability = np.clip(predictions, smallest, 1 - smallest)
        loss = -np.where(labels == 1, np.log(probability), np.log1p(-probability))
        columns = (labels, decided * labels, decided * (1 - labels), loss, (predictions - labels) ** 2)
        self._columns = np.column_stack(columns)
        self._order = np.argsort(-predictions, kind="stable")
        ranked = predictions[self._order]
        self._ranked_labels = labels[self._order]
        self._starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._labels.size)

    def confusion(self) -> dict[str, int]:
        """Counts at the threshold: true and false positives and negatives."""
        yes, said = self._labels == 1, self._decided == 1
        return {
            "true_positive": int((yes & said).sum()),
            "false_positive": int((~yes & said).sum()),
            "false_negative": int((yes & ~said).sum()),
            "true_negative": int((~yes & ~said).sum()),
        }

    def score(self, weights: Floats) -> dict[str, Floats]:
        """All binary metrics for each weighting; NaN where undefined."""
        total = weights.sum(axis=1)
        positive, true_positive, false_positive, loss, squares = (weights @ self._columns).T
        roc_auc, pr_auc = self.ranking(weights)
        missed = positive - true_positive
        found = {
            "accuracy": _ratio(total - false_positive - missed, total),
            "precision": _ratio(true_positive, true_positive + false_positive),
            "recall": _ratio(true_positive, positive),
            "f1": _ratio(2 * true_positive, 2 * true_positive + false_positive + missed),
            "roc_auc": roc_auc,
            "pr_auc": pr_auc,
            "log_loss": _ratio(loss, total),
            "brier": _ratio(squares, total),
        }
        if self._costs is not None:
            right_no = total - positive - false_positive
            outcomes = (true_positive, false_positive, missed, right_no)
            found["cost"] = _ratio(sum_of_costs(self._costs, *outcomes), total)
        return found | _of_objective(self._objective, weights)

    def ranking(self, weights: Floats) -> tuple[Floats, Floats]:
        """ROC AUC and average precision: rows in falling order of prediction, ties as one group."""
        everyone = weights[:, self._order]
        positive = everyone * self._ranked_labels
        if self._starts.size < self.rows:
            everyone = np.add.reduceat(everyone, self._starts, axis=1)
            positive = np.add.reduceat(positive, self._starts, axis=1)
        found = np.cumsum(positive, axis=1)
        seen = np.cumsum(everyone, axis=1)
        yes, no = found[:, -1], seen[:, -1] - found[:, -1]
        pairs = np.einsum("ij,ij->i", everyone - positive, found - positive / 2)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return _ratio(pairs, yes * no), _ratio(np.einsum("ij,ij->i", positive, precision), yes)

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows."""
        if metric == "objective":
            return NOTHING_COUNTS
        if metric == "precision" and not self._decided.any():
            return f"no row is predicted yes at the threshold {self._threshold:g}"
        if not self._labels.any():
            return f"none of the {self.rows} rows has the label 1"
        if self._labels.all():
            return f"all of the {self.rows} rows have the label 1"
        return "it is undefined on these rows"


def sum_of_costs(
    costs: Costs, true_positive: Floats, false_positive: Floats, false_negative: Floats, true_negative: Floats
) -> Floats:
    """What so many outcomes of each kind cost together."""
    total: Floats = (
        costs.true_positive * true_positive
        + costs.false_positive * false_positive
        + costs.false_negative * false_negative
        + costs.true_negative * true_negative
    )
    return total


class RegressionScorer:
    """Metrics of predicted values against labels that are numbers."""

    def __init__(self, labels: Floats, predictions: Floats, objective: RowObjective | None = None) -> None:
        self._labels = labels
        self._objective = objective.values(labels, predictions, None) if objective else None
        error = predictions - labels
        self._nonzero = labels != 0
        relative = np.zeros_like(error)
        np.divide(np.abs(error), np.abs(labels), out=relative, where=self._nonzero)
        # Centered, so that the sum of squares around a resample's mean keeps its digits.
        self._scale = max(float(np.abs(labels - labels.mean()).max()), 0.0)
        centered = (labels - labels.mean()) / self._scale if self._scale > 0 else np.zeros_like(labels)
        columns = (error**2, np.abs(error), relative, self._nonzero, centered, centered**2)
        self._columns = np.column_stack(columns).astype(np.float64)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._labels.size)

    def score(self, weights: Floats) -> dict[str, Floats]:
        """All regression metrics for each weighting; NaN where undefined. MAPE is over rows whose label is not 0."""
        total = weights.sum(axis=1)
        squares, absolute, relative, nonzero, centered, centered_squares = (weights @ self._columns).T
        spread = centered_squares - centered**2 / np.maximum(total, 1)
        # A resample of one and the same label leaves only rounding here.
        spread = np.where(spread > 1e-12 * np.maximum(centered_squares, 1e-300), spread, 0.0) * self._scale**2
        found = {
            "rmse": np.sqrt(_ratio(squares, total)),
            "mae": _ratio(absolute, total),
            "mape": _ratio(relative, nonzero),
            "r2": 1 - _ratio(squares, spread),
        }
        return found | _of_objective(self._objective, weights)

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows."""
        if metric == "objective":
            return NOTHING_COUNTS
        if metric == "mape" and not self._nonzero.any():
            return "every label is 0"
        if metric == "r2":
            return f"all of the {self.rows} rows have the same label"
        return "it is undefined on these rows"
