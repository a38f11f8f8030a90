"""Probability calibration that travels within the model: its scores are stretched and shifted, and nothing is added.

Platt's sigmoid (Platt 1999, "Probabilistic outputs for support vector machines"; fitted with Newton's method after
Lin, Lin and Weng 2007) makes ``sigmoid(slope × score + intercept)`` of a booster's score, the log odds. Since a score
is a sum of leaves, the slope is multiplied into every leaf and the shift added to those of the first tree. So whatever
predicts or explains with the model, online or offline, needs to know nothing of it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost

Floats = npt.NDArray[np.float64]

_STEPS: Final = 100
_SMALL: Final = 1e-10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sigmoid:
    """How scores are changed; the slope is positive, so the order of rows stays."""

    slope: float
    intercept: float


def fit_sigmoid(scores: Floats, labels: Floats) -> Sigmoid | None:
    """The sigmoid with the smallest log loss on rows that the model was not trained on.

    The labels are smoothed as Platt does, so that few rows do not give a step. Sums are in the order of the rows, so
    the same rows give the same bits.

    :param scores: log odds, shape (rows,).
    :param labels: 0 or 1, shape (rows,).
    :returns: None if the scores say nothing, or the wrong thing, about the labels: nothing can be calibrated then.
    """
    positive = float(labels.sum())
    negative = float(len(labels)) - positive
    targets = np.where(labels > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    slope, intercept = 1.0, 0.0
    loss = _loss(slope * scores + intercept, targets)
    for _ in range(_STEPS):
        step = _newton_step(scores, targets, slope, intercept)
        if step is None:
            break
        scale, better = 1.0, False
        while scale > _SMALL and not better:  # halved until it helps
            tried = (slope - scale * step[0], intercept - scale * step[1])
            tried_loss = _loss(tried[0] * scores + tried[1], targets)
            better = tried_loss < loss
            scale /= 2
        if not better:
            break
        gain, loss, (slope, intercept) = loss - tried_loss, tried_loss, tried
        if gain < _SMALL * abs(loss):
            break
    if not slope > _SMALL:
        _log.warning("The model is not calibrated: its scores say nothing about the validation part's labels.")
        return None
    return Sigmoid(slope, intercept)


def calibrated(booster: xgboost.Booster, sigmoid: Sigmoid) -> xgboost.Booster:
    """A booster whose scores are ``slope × score + intercept``.

    :param booster: trees for a binary classification, with one base score.
    """
    document = json.loads(booster.save_raw(raw_format="json"))
    learner = document["learner"]
    base = _log_odds(float(learner["learner_model_param"]["base_score"].strip("[]")))
    shift = sigmoid.slope * base + sigmoid.intercept - base
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        _stretch(tree, sigmoid.slope, 0.0 if number else shift)
    made = xgboost.Booster()
    made.load_model(bytearray(json.dumps(document).encode()))
    return made


def _stretch(tree: dict[str, Any], slope: float, shift: float) -> None:
    values, weights = tree["split_conditions"], tree["base_weights"]
    for node, left in enumerate(tree["left_children"]):
        weights[node] = _float32(slope * weights[node] + shift)
        if left == -1:
            values[node] = _float32(slope * values[node] + shift)


def _newton_step(scores: Floats, targets: Floats, slope: float, intercept: float) -> tuple[float, float] | None:
    """What Newton's method takes away from slope and intercept; None where the loss has no curvature."""
    probability = _probability(slope * scores + intercept)
    error, weight = probability - targets, probability * (1 - probability)
    gradient = (float((error * scores).sum()), float(error.sum()))
    a, b, c = float((weight * scores * scores).sum()), float((weight * scores).sum()), float(weight.sum())
    determinant = a * c - b * b
    if not determinant > _SMALL * max(a * c, _SMALL):
        return None
    return (
        (c * gradient[0] - b * gradient[1]) / determinant,
        (a * gradient[1] - b * gradient[0]) / determinant,
    )


def _loss(scores: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0.0, scores) - targets * scores).sum())


def _probability(scores: Floats) -> Floats:
    result: Floats = np.exp(-np.logaddexp(0.0, -scores))
    return result


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))


def _float32(value: float) -> float:
    return float(np.float32(value))
