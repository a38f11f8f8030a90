"""The parts of a training set as XGBoost takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

from include.spec.definition import FeatureType
from include.training.encoded_on_disk import EncodedOnDisk
from include.training.packaged_model import PREFIX, encode
from include.training.part_on_disk import PartOnDisk

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A part as XGBoost takes it: matrix (rows × features, float32), labels (rows) and weights (rows; None: all 1)."""

    matrix: Matrix
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

    def answers(self, predict: Callable[[Matrix], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """A model's answers for all rows."""
        return predict(self.matrix)

    def dmatrix(
        self,
        features: Sequence[Mapping[str, Any]],
        *,
        bins_of: xgboost.DMatrix | None = None,  # noqa: ARG002 - bins are made in training
        max_bin: int = 256,  # noqa: ARG002
    ) -> xgboost.DMatrix:
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


#: A part, in memory or on disk.
AnyEncoded = Encoded | EncodedOnDisk


def followed_by(first: AnyEncoded, second: AnyEncoded) -> AnyEncoded:
    """The rows of both, without weights; of one training either all parts are in memory or none."""
    if isinstance(first, EncodedOnDisk) and isinstance(second, EncodedOnDisk):
        return first.followed_by(second)
    if isinstance(first, Encoded) and isinstance(second, Encoded):
        return first.followed_by(second)
    raise TypeError("one part is in memory and the other on disk")


def learn_categories(
    frame: pd.DataFrame | PartOnDisk,
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


@overload
def encode_part(frame: pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> Encoded: ...
@overload
def encode_part(frame: pd.DataFrame | PartOnDisk, features: Sequence[Mapping[str, Any]]) -> AnyEncoded: ...
def encode_part(frame: pd.DataFrame | PartOnDisk, features: Sequence[Mapping[str, Any]]) -> AnyEncoded:
    """Matrix and labels of a part.

    :param features: the features as ``features.json`` describes them.
    """
    if isinstance(frame, PartOnDisk):
        return EncodedOnDisk(parts=[frame], features=features)
    return Encoded(matrix=encode(frame, features), labels=frame["label"].to_numpy(dtype=np.float32))
