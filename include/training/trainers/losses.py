"""The loss by which trainings are compared: that of early stopping and of the search, computed in one way for all."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from include.spec.definition import Task

Floats = npt.NDArray[np.float64]

_SMALLEST: Final = 1e-16
_DIGITS: Final = 10


def loss_name(task: Task) -> str:
    """Its name, as XGBoost calls it."""
    return {"binary_classification": "logloss", "regression": "rmse"}.get(task, "mlogloss")


def loss(task: Task, labels: npt.NDArray[Any], predictions: Floats) -> float:
    """Log loss of a classification, root mean squared error of a regression.

    Rounded to ten digits, so that sums of another order on another machine decide alike.

    :param labels: (rows,): values, or the number of each row's class.
    :param predictions: (rows,): values, or probabilities of class 1; for several classes (rows, classes).
    """
    if task == "regression":
        return _rounded(float(np.sqrt(np.mean((predictions - labels.astype(np.float64)) ** 2))))
    if predictions.ndim == 1:
        of_label = np.where(labels > 0, predictions, 1 - predictions)
    else:
        of_label = predictions[np.arange(len(labels)), labels.astype(np.int64)]
    return _rounded(float(-np.mean(np.log(np.maximum(of_label, _SMALLEST)))))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
