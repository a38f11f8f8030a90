"""The parts of a training set as XGBoost takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

from include.spec.definition import FeatureType
from include.training.packaged_model import PREFIX, encode


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A part as XGBoost takes it: matrix (rows × features, float32), labels (rows) and weights (rows; None: all 1)."""

    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Encoded:
        """Those rows only."""
        weights = None if self.weights is None else self.weights[chosen]
        return Encoded(matrix=self.matrix[chosen], labels=self.labels[chosen], weights=weights)

    def followed_by(self, other: Encoded) -> Encoded:
        """The rows of both, without weights."""
        return Encoded(
            matrix=np.concatenate([self.matrix, other.matrix]), labels=np.concatenate([self.labels, other.labels])
        )

    def dmatrix(self, features: Sequence[Mapping[str, Any]]) -> xgboost.DMatrix:
        """As XGBoost's own type.

        :param features: the features as ``features.json`` describes them.
        """
        return xgboost.DMatrix(
            self.matrix,
            self.labels,
            weight=self.weights,
            feature_names=[feature["name"] for feature in features],
            feature_types=["c" if feature["type"] == "category" else "q" for feature in features],
            enable_categorical=True,
        )


def learn_categories(
    frame: pd.DataFrame,
    feature_types: Mapping[str, FeatureType],
    cleaning: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, list[str]]:
    """The values of each category feature in the training part, sorted; their places are the codes.

    :param cleaning: what cleaning has learned of features; what it fills in is a value, too.
    """
    filled = {name: [rule["fill"]] for name, rule in (cleaning or {}).items() if "fill" in rule}
    return {
        name: sorted({*(str(value) for value in frame[PREFIX + name].dropna().unique()), *filled.get(name, ())})
        for name, kind in feature_types.items()
        if kind == "category"
    }


def encode_part(frame: pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> Encoded:
    """Matrix and labels of a part.

    :param features: the features as ``features.json`` describes them.
    """
    return Encoded(matrix=encode(frame, features), labels=frame["label"].to_numpy(dtype=np.float32))
