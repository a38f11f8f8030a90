"""Calibration of answers whose truth is known, beside that on the holdout part.

Of a classification: the mean of the probabilities less the share of rows that they came true for (of several classes
for the class that was answered, and for each class), and the slope of a calibration that is fitted anew: 1 is right,
below 1 the model is too sure of itself (Cox, "Two further applications of a model for binary regression", 1958). Of a
regression: the mean error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from include.evaluation.answers import Answers
from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.monitoring.clustered import Measured, clustered_mean
from include.spec.definition import Definition
from include.training.confidence import fit_calibration

SLOPE: Final = "slope"
_MEAN: Final = "mean error"
_MOST_CLASSES: Final = 10


@dataclass(frozen=True, kw_only=True)
class CalibrationChange:
    """One number of the calibration then and now.

    :param name: ``mean error``, ``mean error of <class>`` or ``slope``.
    :param change: now less before.
    :param least: from which change on it matters.
    :param p: how likely chance alone gives such a change; corrected once all that is told is known.
    :param further: whether it is further now from what is right.
    :param worse: whether it is told as worse.
    """

    name: str
    title: str
    before: Estimate
    now: Estimate
    change: Estimate
    least: float
    p: float
    further: bool
    worse: bool = False

    def corrected(self, p: float, significance: float) -> CalibrationChange:
        """With the p-value that is corrected for all that is told, and so with its verdict."""
        matters = self.change.value is not None and abs(self.change.value) >= self.least
        return replace(self, p=p, worse=p <= significance and matters and self.further)

    def words(self) -> str:
        """The change in words."""
        return f"{self.title} {self.before.value:+.3g} on the holdout part, {self.now.value:+.3g} now"

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        sides = {name: getattr(self, name).to_document() for name in ("before", "now", "change")}
        return {"name": self.name, "title": self.title, **sides, "least": self.least, "p": self.p, "worse": self.worse}


def compare_calibration(definition: Definition, before: Answers, now: Answers) -> list[CalibrationChange]:
    """Each number of the calibration, with its own p-value.

    :param before: on the holdout part, all with their truth.
    :param now: since then, likewise.
    """
    share, confidence = definition.monitoring.decay.least_change, definition.evaluation.confidence
    first, second = dict(_numbers(definition, before)), dict(_numbers(definition, now))
    found = []
    for name, (title, then, right, scale) in first.items():
        if name not in second:
            continue
        today = second[name][1]
        change = today.minus(then)
        found.append(
            CalibrationChange(
                name=name,
                title=title,
                before=then.estimate(confidence),
                now=today.estimate(confidence),
                change=change.estimate(confidence),
                least=share * scale,
                p=change.p_apart(),
                further=abs(today.value - right) > abs(then.value - right),
            )
        )
    return found


def _numbers(definition: Definition, answers: Answers) -> Iterator[tuple[str, tuple[str, Measured, float, float]]]:
    """Name, title, number, what is right, and what a change is a share of."""
    labels, said, partitions = answers.labels, answers.predictions, answers.partitions
    if definition.task == "regression":
        scale = float(np.mean(np.abs(said - labels)))
        yield _MEAN, ("Mean error (answer less truth)", clustered_mean(said - labels, partitions), 0.0, scale)
        return
    if definition.task == "binary_classification":
        title = "Mean probability less share that came true"
        yield _MEAN, (title, clustered_mean(said - labels, partitions), 0.0, float(labels.mean()))
    else:
        yield from _of_classes(definition.label.class_names, labels, said, partitions)
    if slope := _slope(labels, said, partitions):
        yield SLOPE, ("Calibration slope", slope, 1.0, abs(slope.value))


def _of_classes(
    names: Sequence[str], labels: Floats, said: Floats, partitions: Any
) -> Iterator[tuple[str, tuple[str, Measured, float, float]]]:
    answer = said.argmax(axis=1)
    right = (answer == labels).astype(np.float64)
    sure = said[np.arange(labels.size), answer]
    title = "Mean probability of the answered class less share of right answers"
    yield _MEAN, (title, clustered_mean(sure - right, partitions), 0.0, float(right.mean()))
    for place in range(min(len(names), _MOST_CLASSES)):
        own = (labels == place).astype(np.float64)
        title = f"Mean probability of {names[place]} less its share"
        yield f"{_MEAN} of {names[place]}", (title, clustered_mean(said[:, place] - own, partitions), 0.0, own.mean())


def _slope(labels: Floats, said: Floats, partitions: Any) -> Measured | None:
    """None with one class only, or without any curvature."""
    if np.unique(labels).size < 2:
        return None
    fitted = fit_calibration(labels, said, partitions)
    if fitted is None:
        return None
    return Measured(float(fitted.parameters[0]), math.sqrt(float(fitted.covariance[0, 0])), fitted.units - 1)
