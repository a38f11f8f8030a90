"""The trainer: XGBoost with native categories, early stopping on the validation part, the same bytes every time.

Bytes depend on rows, their order, parameters, seed and library versions, and not on the number of threads.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

from include.errors import Refused
from include.spec.definition import Definition, FeatureType, Task, Training
from include.training.packaged_model import PREFIX, encode

#: The last metric of each decides on early stopping.
OBJECTIVES: Final[dict[Task, dict[str, Any]]] = {
    "binary_classification": {"objective": "binary:logistic", "eval_metric": ["auc", "logloss"]},
    "regression": {"objective": "reg:squarederror", "eval_metric": ["mae", "rmse"]},
}
_SET_ELSEWHERE: Final = {
    "seed": "training.seed",
    "random_state": "training.seed",
    "nthread": "training.resources.cpu",
    "n_jobs": "training.resources.cpu",
    "num_boost_round": "training.rounds",
    "n_estimators": "training.rounds",
    "early_stopping_rounds": "training.early_stopping_rounds",
    "objective": "task",
    "eval_metric": "task",
    "tree_method": None,
    "device": None,
    "verbosity": None,
    "process_type": None,
    "updater": None,
}


class ParameterRefused(Refused):
    """training.params has a key that XGBoost does not know, or that is not for a definition to set."""

    def __init__(self, definition: Definition, problem: str) -> None:
        super().__init__(f"{definition.model}: training.params: {problem}")
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A part as XGBoost takes it: matrix (rows × features, float32) and labels (rows)."""

    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training gave.

    :param booster: the model, cut to the rounds that it keeps.
    :param best_round: number of rounds that it keeps.
    :param curves: part → metric → value after each round of the early-stopping run.
    :param importance: feature → total gain of its splits; 0 for a feature that is not used.
    """

    booster: xgboost.Booster
    best_round: int
    curves: dict[str, dict[str, list[float]]]
    importance: dict[str, float]


def learn_categories(frame: pd.DataFrame, feature_types: Mapping[str, FeatureType]) -> dict[str, list[str]]:
    """The values of each category feature in the training part, sorted; their places are the codes."""
    return {
        name: sorted(str(value) for value in frame[PREFIX + name].dropna().unique())
        for name, kind in feature_types.items()
        if kind == "category"
    }


def encode_part(frame: pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> Encoded:
    """Matrix and labels of a part.

    :param features: the features as ``features.json`` describes them.
    """
    return Encoded(matrix=encode(frame, features), labels=frame["label"].to_numpy(dtype=np.float32))


def train_model(
    definition: Definition,
    features: Sequence[Mapping[str, Any]],
    train: Encoded,
    validation: Encoded,
    *,
    threads: int | None = None,
) -> Trained:
    """Train with early stopping, and again on both parts if the definition says so.

    :param threads: number of threads; ``training.resources.cpu`` if left out. Does not change the model.
    :raises ParameterRefused: if XGBoost refuses or ignores one of training.params.
    """
    training = definition.training
    params = parameters(definition)
    matrices = {
        part: _matrix(part_data, features) for part, part_data in (("train", train), ("validation", validation))
    }
    nthread = threads or training.resources.cpu
    curves: dict[str, dict[str, list[float]]] = {}
    with _parameters_checked(definition):
        booster = xgboost.train(
            {**params, "nthread": nthread},
            matrices["train"],
            training.rounds,
            evals=[(matrices["train"], "train"), (matrices["validation"], "validation")],
            early_stopping_rounds=training.early_stopping_rounds,
            evals_result=curves,
            verbose_eval=False,
        )
    best = int(booster.best_iteration) + 1
    if training.refit == "validation":
        booster = _refit(params, nthread, features, train, validation, best)
    model = booster[:best]
    return Trained(
        booster=_bare(model), best_round=best, curves=_plain(curves), importance=_importance(model, features)
    )


def parameters(definition: Definition) -> dict[str, Any]:
    """All parameters that shape the model: the task's, the definition's and the seed.

    :raises ParameterRefused: if the definition sets what is not its to set.
    """
    training = definition.training
    for name in training.params:
        if name in _SET_ELSEWHERE:
            elsewhere = _SET_ELSEWHERE[name]
            cure = (
                f"it follows from {elsewhere}; set that" if elsewhere else "it is fixed, so that models can be repeated"
            )
            raise ParameterRefused(definition, f"remove {name!r}: {cure}.")
    fixed = {"tree_method": "hist", "device": "cpu", "seed": training.seed, "validate_parameters": True}
    return {**OBJECTIVES[definition.task], **training.params, **fixed}


def training_settings(training: Training) -> dict[str, Any]:
    """The other settings that shape the model."""
    return {
        "rounds": training.rounds,
        "early_stopping_rounds": training.early_stopping_rounds,
        "refit": training.refit,
    }


def _matrix(part: Encoded, features: Sequence[Mapping[str, Any]]) -> xgboost.DMatrix:
    return xgboost.DMatrix(
        part.matrix,
        part.labels,
        feature_names=[feature["name"] for feature in features],
        feature_types=["c" if feature["type"] == "category" else "q" for feature in features],
        enable_categorical=True,
    )


def _refit(
    params: Mapping[str, Any],
    nthread: int,
    features: Sequence[Mapping[str, Any]],
    train: Encoded,
    validation: Encoded,
    rounds: int,
) -> xgboost.Booster:
    both = Encoded(
        matrix=np.concatenate([train.matrix, validation.matrix]),
        labels=np.concatenate([train.labels, validation.labels]),
    )
    return xgboost.train({**params, "nthread": nthread}, _matrix(both, features), rounds, verbose_eval=False)


def _bare(booster: xgboost.Booster) -> xgboost.Booster:
    """The model without attributes that tell of the run."""
    for name in booster.attributes():
        booster.set_attr(**{name: None})
    return booster


@contextmanager
def _parameters_checked(definition: Definition) -> Iterator[None]:
    """XGBoost only warns of a parameter that it does not know; here that is a refusal."""
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


def _importance(booster: xgboost.Booster, features: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    gains = booster.get_score(importance_type="total_gain")
    return {feature["name"]: _number(gains.get(feature["name"], 0.0)) for feature in features}


def _number(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def _plain(curves: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, dict[str, list[float]]]:
    return {
        part: {metric: [float(v) for v in values] for metric, values in metrics.items()}
        for part, metrics in curves.items()
    }
