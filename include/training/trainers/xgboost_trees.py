"""XGBoost behind the trainers' protocol; how it trains is in ``xgboost_trainer.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost

from include.training.packaged_model import probability_or_value
from include.training.trainers.protocol import Floats, Request, Trained
from include.training.xgboost_trainer import train_model


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
    """Search, early stopping, calibration, refit: as the definition says.

    :raises ParameterRefused: if XGBoost refuses or ignores one of training.params.
    """
    made = train_model(
        request.definition,
        request.features,
        request.train,
        request.validation,
        older_folds=request.older_folds,
        threads=request.threads,
    )
    return Trained(
        kind="xgboost",
        estimator=Trees(made.booster),
        judged=made.judged,
        best_round=made.best_round,
        parameters=made.parameters,
        curves=made.curves,
        importance=made.importance,
        found=made.found,
        sigmoid=made.sigmoid,
    )
