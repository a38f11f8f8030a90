"""The parameters with which XGBoost trains: the task's, the definition's, and what makes models repeatable."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost

from include.errors import Refused
from include.spec.columns import model_inputs
from include.spec.definition import Definition, Task, Training
from include.spec.parameters import OWN_PARAMS
from include.training.matrices import AnyEncoded

#: The last metric of each decides on early stopping and between the trials of a search.
OBJECTIVES: Final[dict[Task, dict[str, Any]]] = {
    "binary_classification": {"objective": "binary:logistic", "eval_metric": ["auc", "logloss"]},
    "multiclass_classification": {"objective": "multi:softprob", "eval_metric": ["merror", "mlogloss"]},
    "regression": {"objective": "reg:squarederror", "eval_metric": ["mae", "rmse"]},
}
_DIRECTIONS: Final = {"increasing": 1, "decreasing": -1}


class ParameterRefused(Refused):
    """training.params has a key that XGBoost does not know, or that is not for a definition to set."""

    def __init__(self, definition: Definition, problem: str) -> None:
        super().__init__(f"{definition.model}: training.params: {problem}")
        self.problem = problem


def parameters(definition: Definition) -> dict[str, Any]:
    """All parameters that shape the model and follow from the definition alone.

    :raises ParameterRefused: if the definition sets what is not its to set.
    """
    training = definition.training
    for name in training.params:
        if name in OWN_PARAMS:
            raise ParameterRefused(definition, f"Noria sets {name!r} itself. {OWN_PARAMS[name]}")
    fixed = {"tree_method": "hist", "device": "cpu", "seed": training.seed, "validate_parameters": True}
    classes = {"num_class": len(definition.label.class_names)} if definition.label.class_names else {}
    return {**OBJECTIVES[definition.task], **classes, **training.params, **_monotone(definition), **fixed}


def settings_besides(training: Training) -> dict[str, Any]:
    """What shapes the model besides its parameters, as JSON values."""
    return training.model_dump(
        mode="json", include={"rounds", "early_stopping_rounds", "refit", "class_weight", "calibration", "search"}
    )


def class_weight(definition: Definition, train: AnyEncoded) -> dict[str, float]:
    """The weight of the positive class with which both classes weigh the same in the training part, if that is asked
    for; see XGBoost's documentation of ``scale_pos_weight``. More classes are weighted row by row, by ``row_weights``.
    """
    if definition.training.class_weight == "none" or definition.task != "binary_classification":
        return {}
    positive = float(train.labels.sum())
    return {"scale_pos_weight": (len(train.labels) - positive) / positive}


def row_weights(definition: Definition, labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """The rows' weights with which all classes of a multiclass classification weigh the same, if that is asked for.

    A class of n of all N rows has the weight N / (K n), as scikit-learn's ``balanced`` has it: they sum up to N.

    :param labels: places of the classes, shape (rows,).
    :returns: shape (rows,); None if every row counts once.
    """
    if definition.training.class_weight == "none" or definition.task != "multiclass_classification":
        return None
    classes = len(definition.label.class_names)
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    by_class = len(labels) / (classes * np.maximum(counts, 1))
    weights: npt.NDArray[np.float32] = by_class[labels.astype(np.int64)].astype(np.float32)
    return weights


@contextmanager
def refusals_said(definition: Definition) -> Iterator[None]:
    """Trainings in which XGBoost refuses, or ignores with a warning, what the definition gives.

    :raises ParameterRefused: then.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except xgboost.core.XGBoostError as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ParameterRefused(definition, f"XGBoost refuses them: {first.strip()[:300]}") from error
    for warning in caught:
        if "are not used" in str(warning.message):
            unknown = str(warning.message).split("Parameters:")[-1].split("are not used")[0].strip(" {}")
            raise ParameterRefused(definition, f"XGBoost knows no parameter {unknown}; correct or remove it.")


def _monotone(definition: Definition) -> dict[str, str]:
    wanted = definition.training.monotone
    if not wanted:
        return {}
    directions = (_DIRECTIONS.get(wanted.get(name, ""), 0) for name in model_inputs(definition))
    return {"monotone_constraints": f"({','.join(map(str, directions))})"}
