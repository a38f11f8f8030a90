"""XGBoost with native categories, early stopping on the validation part, the same bytes every time.

Bytes depend on rows, their order, parameters, seed and library versions, and not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from include.spec.definition import Definition, Training
from include.training.calibration import Sigmoid, calibrated, fit_sigmoid
from include.training.folds import Fold
from include.training.matrices import AnyEncoded, followed_by
from include.training.packaged_model import probability_or_value
from include.training.parameters import class_weight, parameters, refusals_said, row_weights
from include.training.search import search_parameters
from include.training.trainers.boosting import Boosting, bins_of, boost
from include.training.trainers.protocol import Floats, Request, Trained


@dataclass(frozen=True)
class Trees:
    """A booster."""

    booster: xgboost.Booster

    def predict(self, matrix: npt.NDArray[np.float32]) -> Floats:
        """Probabilities or values: the exact float32 values."""
        return probability_or_value(self.booster, matrix)

    def save(self, directory: Path) -> None:
        """In XGBoost's own format."""
        (directory / "model.ubj").write_bytes(bytes(self.booster.save_raw(raw_format="ubj")))


def train_trees(request: Request) -> Trained:
    """Search for parameters, train with early stopping, calibrate, train again on both parts: as the definition says.

    :raises ParameterRefused: if XGBoost refuses or ignores one of training.params.
    """
    definition, features, validation = request.definition, request.features, request.validation
    training = definition.training
    nthread = request.threads or training.resources.cpu
    params = {**parameters(definition), **class_weight(definition, request.train)}
    train = _weighted(definition, request.train)
    with refusals_said(definition):
        found = None
        if training.search is not None:
            older = (replace(fold, train=_weighted(definition, fold.train)) for fold in request.older_folds)
            folds = [Fold(train=train, validation=validation), *older]
            found = search_parameters(
                training, params, [fold.dmatrices(features, bins_of(params)) for fold in folds], nthread
            )
            params |= found.params
        boosting = Boosting(
            params={**params, "nthread": nthread},
            rounds=training.rounds,
            features=features,
            train=train,
            validation=validation,
            patience=training.early_stopping_rounds,
        )
        run = boost if request.machines is None else request.machines.boost
        boosted = run(boosting)
        booster, best = boosted.booster, int(boosted.booster.best_iteration) + 1
        # Before a refit, which trains on the validation part, too.
        sigmoid = _sigmoid(training, booster[:best], validation)
        judged = validation.answers(partial(probability_or_value, booster[:best]))
        if training.refit == "validation":
            both = _weighted(definition, followed_by(request.train, validation))
            booster = run(replace(boosting, rounds=best, train=both, validation=None)).booster
    model = booster[:best]
    return Trained(
        kind="xgboost",
        estimator=Trees(_bare(calibrated(model, sigmoid) if sigmoid else model)),
        judged=judged,
        best_round=best,
        parameters=params,
        curves=_plain(boosted.curves),
        importance=_importance(model, features),
        found=found,
        sigmoid=sigmoid,
    )


def _weighted(definition: Definition, part: AnyEncoded) -> AnyEncoded:
    """The part with the weights of its rows, if classes are to weigh the same; what is judged on stays as it is."""
    weights = row_weights(definition, part.labels)
    return part if weights is None else replace(part, weights=weights)


def _sigmoid(training: Training, booster: xgboost.Booster, validation: AnyEncoded) -> Sigmoid | None:
    if training.calibration == "none":
        return None

    def margins(matrix: npt.NDArray[np.float32]) -> Floats:
        return np.asarray(booster.inplace_predict(matrix, predict_type="margin"), dtype=np.float64).reshape(-1)

    return fit_sigmoid(validation.answers(margins), validation.labels.astype(np.float64))


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
