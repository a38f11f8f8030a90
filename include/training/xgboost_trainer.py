"""The trainer: XGBoost with native categories, early stopping on the validation part, the same bytes every time.

Bytes depend on rows, their order, parameters, seed and library versions, and not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from include.spec.definition import Definition, Training
from include.training.calibration import Sigmoid, calibrated, fit_sigmoid
from include.training.folds import Fold
from include.training.matrices import Encoded
from include.training.packaged_model import probability_or_value
from include.training.parameters import class_weight, parameters, refusals_said, row_weights
from include.training.search import Found, search_parameters


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training gave.

    :param booster: the model, cut to the rounds that it keeps.
    :param best_round: number of rounds that it keeps.
    :param parameters: with which it was trained.
    :param curves: part → metric → value after each round of the early-stopping run.
    :param importance: feature → total gain of its splits; 0 for a feature that is not used.
    :param found: what the search for parameters found; None without one.
    :param sigmoid: the calibration that is in the model; None without one.
    :param judged: answers for the validation part before calibration and refit.
    """

    booster: xgboost.Booster
    best_round: int
    parameters: dict[str, Any]
    curves: dict[str, dict[str, list[float]]]
    importance: dict[str, float]
    found: Found | None
    sigmoid: Sigmoid | None
    judged: npt.NDArray[np.float64]


def train_model(
    definition: Definition,
    features: Sequence[Mapping[str, Any]],
    train: Encoded,
    validation: Encoded,
    *,
    older_folds: Sequence[Fold] = (),
    threads: int | None = None,
) -> Trained:
    """Search for parameters, train with early stopping, calibrate, train again on both parts: as the definition says.

    :param older_folds: on which the trials of a search are judged besides train and validation.
    :param threads: number of threads; ``training.resources.cpu`` if left out. Does not change the model.
    :raises ParameterRefused: if XGBoost refuses or ignores one of training.params.
    """
    training = definition.training
    nthread = threads or training.resources.cpu
    params = {**parameters(definition), **class_weight(definition, train)}
    train, older_folds = _weighted(definition, train), [_fold(definition, fold) for fold in older_folds]
    with refusals_said(definition):
        found = None
        if training.search is not None:
            folds = [Fold(train=train, validation=validation), *older_folds]
            found = search_parameters(training, params, [fold.dmatrices(features) for fold in folds], nthread)
            params |= found.params
        booster, curves = _early_stopped(training, {**params, "nthread": nthread}, features, train, validation)
        best = int(booster.best_iteration) + 1
        # Before a refit, which trains on the validation part, too.
        sigmoid = _sigmoid(training, booster[:best], validation)
        judged = probability_or_value(booster[:best], validation.matrix)
        if training.refit == "validation":
            both = Encoded(
                matrix=np.concatenate([train.matrix, validation.matrix]),
                labels=np.concatenate([train.labels, validation.labels]),
            )
            both = _weighted(definition, both)
            booster = xgboost.train({**params, "nthread": nthread}, both.dmatrix(features), best, verbose_eval=False)
    model = booster[:best]
    return Trained(
        booster=_bare(calibrated(model, sigmoid) if sigmoid else model),
        best_round=best,
        parameters=params,
        curves=_plain(curves),
        importance=_importance(model, features),
        found=found,
        sigmoid=sigmoid,
        judged=judged,
    )


def _weighted(definition: Definition, part: Encoded) -> Encoded:
    """The part with the weights of its rows, if classes are to weigh the same; what is judged on stays as it is."""
    weights = row_weights(definition, part.labels)
    return part if weights is None else replace(part, weights=weights)


def _fold(definition: Definition, fold: Fold) -> Fold:
    return replace(fold, train=_weighted(definition, fold.train))


def _early_stopped(
    training: Training,
    params: Mapping[str, Any],
    features: Sequence[Mapping[str, Any]],
    train: Encoded,
    validation: Encoded,
) -> tuple[xgboost.Booster, dict[str, dict[str, list[float]]]]:
    curves: dict[str, dict[str, list[float]]] = {}
    part, judge = train.dmatrix(features), validation.dmatrix(features)
    booster = xgboost.train(
        dict(params),
        part,
        training.rounds,
        evals=[(part, "train"), (judge, "validation")],
        early_stopping_rounds=training.early_stopping_rounds,
        evals_result=curves,
        verbose_eval=False,
    )
    return booster, curves


def _sigmoid(training: Training, booster: xgboost.Booster, validation: Encoded) -> Sigmoid | None:
    if training.calibration == "none":
        return None
    scores = np.asarray(booster.inplace_predict(validation.matrix, predict_type="margin"), dtype=np.float64)
    return fit_sigmoid(scores.reshape(-1), validation.labels.astype(np.float64))


def _bare(booster: xgboost.Booster) -> xgboost.Booster:
    """The model without attributes that tell of the run."""
    for name in booster.attributes():
        booster.set_attr(**{name: None})
    return booster


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
