"""How far a model's own answers can be trusted, learnt on its holdout part and kept with its profile.

With it, quality can be estimated where there are no labels yet (:mod:`include.monitoring.estimated`). Of a
classification it is how its probabilities must be stretched and shifted to be right on the holdout part: ``q_k ∝
exp(slope · log p_k + shift_k)``, which for two classes is Platt's sigmoid (Platt, "Probabilistic outputs for support
vector machines", 1999; Guo et al., "On calibration of modern neural networks", 2017, section 4.2). Of a regression it
is how its errors are distributed, by predicted value. Both come with a covariance that takes whole days as the pieces
of evidence (the sandwich; Zeger and Liang, "Longitudinal data analysis", 1986), and with the part of it that rows
within a day have in common. No row of the holdout part is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from include.spec.definition import Task
from include.spec.partitions import DAY_OF_KEY

Document = dict[str, Any]
Floats = npt.NDArray[np.float64]

FEWEST_ROWS: Final = 100
#: Fewer days are no evidence of how days differ.
FEWEST_UNITS: Final = 10
_MOST_ROWS: Final = 20_000
_SMALLEST: Final = 1e-7
_STEPS: Final = 50
_BINS: Final = 10
_RESIDUALS: Final = 41
#: Digits that are kept, so that another order of additions gives the same file.
_DIGITS: Final = 6


@dataclass(frozen=True)
class Calibration:
    """A classification's calibration.

    :param parameters: the slope, then a shift for each class but the first; shape (classes,).
    :param covariance: of the parameters, whole days being the evidence; shape (classes, classes).
    :param shared: the part of it that rows of a day have in common.
    :param units: of how many days, or rows if those are too few.
    """

    parameters: Floats
    covariance: Floats
    shared: Floats
    units: int


def learn_confidence(
    task: Task, labels: Any, predictions: Any, partitions: Any | None = None, *, rows: int = _MOST_ROWS
) -> Document:
    """What of a holdout part travels with the model.

    :param labels: shape (rows,); of several classes their places.
    :param predictions: shape (rows,), or (rows, classes).
    :param partitions: each row's partition key; None if none is known.
    :param rows: of more only so many are looked at, evenly spread.
    :returns: JSON; ``{"reason"}`` alone if nothing can be learnt.
    """
    labels, predictions = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    chosen = np.unique(np.linspace(0, max(labels.size - 1, 0), min(rows, labels.size)).astype(np.int64))
    labels, predictions = labels[chosen], predictions[chosen]
    keys = None if partitions is None else np.asarray(partitions, dtype=str)[chosen]
    if labels.size < FEWEST_ROWS:
        return {"reason": f"its holdout part had {labels.size} rows, and at least {FEWEST_ROWS} are needed"}
    if not (np.isfinite(labels).all() and np.isfinite(predictions).all()):
        return {"reason": "a label or an answer of its holdout part was no number"}
    if task == "regression":
        return _learn_errors(labels, predictions, keys)
    if np.unique(labels).size < 2:
        return {"reason": "its holdout part had labels of one class only"}
    found = fit_calibration(labels, predictions, keys)
    if found is None:
        return {"reason": "its probabilities said nothing about the labels of its holdout part"}
    return {
        "kind": "classes",
        "rows": int(labels.size),
        "units": found.units,
        "parameters": _plain(found.parameters),
        "covariance": _plain(found.covariance),
        "shared": _plain(found.shared),
    }


def by_class(predictions: Floats) -> Floats:
    """Logarithms of the probabilities of all classes, shape (rows, classes), from what a model answers."""
    columns = predictions if predictions.ndim == 2 else np.column_stack((1 - predictions, predictions))
    logarithms: Floats = np.log(np.clip(columns, _SMALLEST, 1.0))
    return logarithms


def calibrated(logarithms: Floats, parameters: Floats) -> Floats:
    """Probabilities, shape (rows, classes), after stretching and shifting."""
    scores = parameters[0] * logarithms
    scores[:, 1:] += parameters[1:]
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    probabilities: Floats = scores / scores.sum(axis=1, keepdims=True)
    return probabilities


def fit_calibration(labels: Floats, predictions: Floats, partitions: Any | None) -> Calibration | None:
    """The calibration with the greatest likelihood, pulled a little towards none at all (by one row's weight).

    :returns: None if there is no curvature, or the slope is not positive.
    """
    logarithms = by_class(predictions)
    truth = np.eye(logarithms.shape[1])[labels.astype(np.intp)]
    neutral = np.zeros(logarithms.shape[1])
    neutral[0] = 1.0
    parameters = neutral.copy()
    information = np.eye(neutral.size)
    for _ in range(_STEPS):
        probabilities = calibrated(logarithms, parameters)
        gradient = _scores(logarithms, truth, probabilities).sum(axis=0) - (parameters - neutral)
        information = _information(logarithms, probabilities) + np.eye(neutral.size)
        step = np.linalg.solve(information, gradient)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        parameters = parameters + step
        if float(np.abs(step).max()) < 1e-9:
            break
    if not np.isfinite(parameters).all() or parameters[0] <= 0:
        return None
    scores = _scores(logarithms, truth, calibrated(logarithms, parameters))
    bread = np.linalg.inv(information).astype(np.float64)
    covariance, shared, units = _covariances(scores, bread, partitions)
    return Calibration(parameters, covariance, shared, units)


def _scores(logarithms: Floats, truth: Floats, probabilities: Floats) -> Floats:
    """Each row's derivative of the log likelihood by each parameter, shape (rows, classes)."""
    missing = truth - probabilities
    found: Floats = np.column_stack(((missing * logarithms).sum(axis=1), missing[:, 1:]))
    return found


def _information(logarithms: Floats, probabilities: Floats) -> Floats:
    """Fisher's information of all rows together, shape (classes, classes)."""
    mean = (probabilities * logarithms).sum(axis=1, keepdims=True)
    away = probabilities * (logarithms - mean)
    matrix = np.diag(probabilities.sum(axis=0)) - probabilities.T @ probabilities
    matrix[0, 0] = (away * logarithms).sum()
    matrix[0, 1:] = matrix[1:, 0] = away[:, 1:].sum(axis=0)
    return matrix


def _covariances(scores: Floats, bread: Floats, partitions: Any | None) -> tuple[Floats, Floats, int]:
    """The covariance by days, the part of it beyond that by rows, and how many days (or rows) there are."""
    rows = len(scores)
    by_row = bread @ (scores.T @ scores) @ bread
    groups, units = units_of(partitions, rows)
    if groups is None:
        return by_row * rows / (rows - 1), np.zeros_like(by_row), rows
    sums = np.column_stack([np.bincount(groups, weights=column, minlength=units) for column in scores.T])
    covariance = bread @ (sums.T @ sums) @ bread * (units / (units - 1))
    values, vectors = np.linalg.eigh(covariance - by_row)
    shared = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return covariance, shared, units


def units_of(partitions: Any | None, rows: int) -> tuple[npt.NDArray[np.intp] | None, int]:
    """Each row's day and how many there are; None and the number of rows if days are unknown or too few."""
    if partitions is None:
        return None, rows
    days, groups = np.unique(np.asarray(partitions, dtype=f"<U{DAY_OF_KEY}"), return_inverse=True)
    return (None, rows) if days.size < FEWEST_UNITS else (groups, int(days.size))


def _learn_errors(labels: Floats, predictions: Floats, partitions: Any | None) -> Document:
    """Errors by predicted value; parameters are a shift, in units of the bin's typical error, and a log scale."""
    errors = labels - predictions
    edges = np.unique(np.quantile(predictions, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, predictions, side="right")
    overall = float(np.sqrt(np.mean(errors**2)))
    if not overall > 0:
        return {"reason": "it made no error at all on its holdout part"}
    sizes, residuals = [], []
    for place in range(edges.size + 1):
        own = errors[places == place]
        own = own if own.size >= _RESIDUALS else errors
        residuals.append([float(part.mean()) for part in np.array_split(np.sort(own), _RESIDUALS)])
        sizes.append(max(float(np.sqrt(np.mean(own**2))), 1e-9 * overall))
    relative = errors / np.array(sizes)[places]
    means = np.array(
        [np.mean(relative[places == place]) if (places == place).any() else 0.0 for place in range(len(sizes))]
    )
    scores = np.column_stack((relative - means[places], (relative**2 - 1) / 2))
    covariance, shared, units = _covariances(scores, np.eye(2) / labels.size, partitions)
    return {
        "kind": "values",
        "rows": int(labels.size),
        "units": units,
        "parameters": [0.0, 0.0],
        "covariance": _plain(covariance),
        "shared": _plain(shared),
        "edges": _plain(edges),
        "sizes": _plain(np.array(sizes)),
        "residuals": _plain(np.array(residuals)),
    }


def _plain(values: Floats) -> Any:
    """Nested lists of numbers with few digits."""
    return (
        np.vectorize(lambda value: float(f"{value:.{_DIGITS}g}"), otypes=[np.float64])(values).tolist()
        if values.size
        else []
    )
