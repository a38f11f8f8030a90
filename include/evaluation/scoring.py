"""Metrics of one model's predictions under many weightings of the same rows at once.

A weighting is a row of counts: how often each row is in a resample. All ones is the sample itself. Sorting and whatever
else does not depend on the counts happens once: a thousand resamples cost some matrix products and cumulative sums, and
where whole groups of rows are resampled, these are of sums by group.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from include.errors import Refused
from include.evaluation.grouping import Floats, Groups, ratio
from include.evaluation.ranking import Ranking
from include.spec.costs import Costs
from include.spec.definition import Task

if TYPE_CHECKING:
    from include.evaluation.objective import RowObjective, RowValues

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

    @property
    def points(self) -> dict[str, float]:
        """The metrics on the rows as they are; NaN where undefined."""

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Metrics for each weighting: arrays of shape (weightings,), NaN where a metric is undefined.

        :param weights: counts of shape (weightings, rows).
        """

    def score_groups(self, counts: Floats, groups: Groups) -> dict[str, Floats]:
        """The same where all rows of a group count the same.

        :param counts: of shape (weightings, groups).
        """

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows, in a sentence for a person."""


class Points:
    """The metrics on the rows as they are, which are asked for again and again."""

    @cached_property
    def points(self: Scorer) -> dict[str, float]:
        """NaN where undefined."""
        return {name: float(values[0]) for name, values in self.score(np.ones((1, self.rows))).items()}


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


def _of_objective(number: Floats, per: Floats) -> dict[str, Floats]:
    """The objective for each weighting: the sum of its numbers over the sum of what they are divided by."""
    return {"objective": np.divide(number, per, out=np.full(per.shape, np.nan), where=per != 0)}


def _with_objective(columns: tuple[Floats, ...], values: RowValues | None) -> Floats:
    """What is summed up for each weighting, shape (rows, columns); the objective's two columns last."""
    return np.column_stack(columns if values is None else (*columns, values.number, values.per)).astype(np.float64)


class BinaryScorer(Points):
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
        smallest = np.finfo(np.float64).eps
        probability = np.clip(predictions, smallest, 1 - smallest)
        loss = -np.where(labels == 1, np.log(probability), np.log1p(-probability))
        columns = (labels, decided * labels, decided * (1 - labels), loss, (predictions - labels) ** 2)
        self._columns = _with_objective(columns, objective.values(labels, predictions, decided) if objective else None)
        self._ranking = Ranking(labels, predictions)

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
        return self._metrics(weights.sum(axis=1), weights @ self._columns, self._ranking.of_rows(weights))

    def score_groups(self, counts: Floats, groups: Groups) -> dict[str, Floats]:
        """The same where all rows of a group count the same."""
        sums = counts @ groups.sums(self._columns)
        return self._metrics(counts @ groups.sizes, sums, self._ranking.of_groups(counts, groups))

    def _metrics(self, total: Floats, sums: Floats, areas: tuple[Floats, Floats]) -> dict[str, Floats]:
        positive, true_positive, false_positive, loss, squares, *objective = sums.T
        missed = positive - true_positive
        found = {
            "accuracy": ratio(total - false_positive - missed, total),
            "precision": ratio(true_positive, true_positive + false_positive),
            "recall": ratio(true_positive, positive),
            "f1": ratio(2 * true_positive, 2 * true_positive + false_positive + missed),
            "roc_auc": areas[0],
            "pr_auc": areas[1],
            "log_loss": ratio(loss, total),
            "brier": ratio(squares, total),
        }
        if self._costs is not None:
            right_no = total - positive - false_positive
            outcomes = (true_positive, false_positive, missed, right_no)
            found["cost"] = ratio(sum_of_costs(self._costs, *outcomes), total)
        return found | (_of_objective(*objective) if objective else {})

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


class RegressionScorer(Points):
    """Metrics of predicted values against labels that are numbers."""

    def __init__(self, labels: Floats, predictions: Floats, objective: RowObjective | None = None) -> None:
        self._labels = labels
        error = predictions - labels
        self._nonzero = labels != 0
        relative = np.zeros_like(error)
        np.divide(np.abs(error), np.abs(labels), out=relative, where=self._nonzero)
        # Centered, so that the sum of squares around a resample's mean keeps its digits.
        self._scale = max(float(np.abs(labels - labels.mean()).max()), 0.0)
        centered = (labels - labels.mean()) / self._scale if self._scale > 0 else np.zeros_like(labels)
        columns = (error**2, np.abs(error), relative, self._nonzero, centered, centered**2)
        self._columns = _with_objective(columns, objective.values(labels, predictions, None) if objective else None)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._labels.size)

    def score(self, weights: Floats) -> dict[str, Floats]:
        """All regression metrics for each weighting; NaN where undefined. MAPE is over rows whose label is not 0."""
        return self._metrics(weights.sum(axis=1), weights @ self._columns)

    def score_groups(self, counts: Floats, groups: Groups) -> dict[str, Floats]:
        """The same where all rows of a group count the same."""
        return self._metrics(counts @ groups.sizes, counts @ groups.sums(self._columns))

    def _metrics(self, total: Floats, sums: Floats) -> dict[str, Floats]:
        squares, absolute, relative, nonzero, centered, centered_squares, *objective = sums.T
        spread = centered_squares - centered**2 / np.maximum(total, 1)
        # A resample of one and the same label leaves only rounding here.
        spread = np.where(spread > 1e-12 * np.maximum(centered_squares, 1e-300), spread, 0.0) * self._scale**2
        found = {
            "rmse": np.sqrt(ratio(squares, total)),
            "mae": ratio(absolute, total),
            "mape": ratio(relative, nonzero),
            "r2": 1 - ratio(squares, spread),
        }
        return found | (_of_objective(*objective) if objective else {})

    def undefined(self, metric: str) -> str:
        """Why the metric is undefined on these rows."""
        if metric == "objective":
            return NOTHING_COUNTS
        if metric == "mape" and not self._nonzero.any():
            return "every label is 0"
        if metric == "r2":
            return f"all of the {self.rows} rows have the same label"
        return "it is undefined on these rows"
