"""Some rows of the training part that travel with the model, if the definition asks for a domain classifier.

Counts say nothing of how features go together. For that a check needs rows; these are spread evenly over the training
part, oldest first, and hold no feature that is made from a personal column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from include.spec.definition import FeatureType
from include.training.packaged_model import PREFIX, is_null
from include.training.part_on_disk import PartOnDisk

Sample = dict[str, list[Any]]


def take_sample(
    frame: pd.DataFrame | PartOnDisk, feature_types: Mapping[str, FeatureType], *, rows: int, without: Collection[str]
) -> Sample:
    """Values by feature; what is missing, or no finite number, is None.

    :param frame: the training part in its order, a column ``feature_<name>`` for each feature.
    :param rows: at most so many.
    :param without: features that are left out.
    """
    places = np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame))).astype(np.int64))
    chosen = frame.iloc[places] if len(frame) else frame
    return {
        name: [plain_value(value, kind) for value in chosen[PREFIX + name]]
        for name, kind in feature_types.items()
        if name not in without
    }


def plain_value(value: Any, kind: FeatureType) -> Any:
    """A value as JSON has it."""
    if is_null(value):
        return None
    if kind == "numeric":
        number = float(value)
        return number if np.isfinite(number) else None
    return bool(value) if kind == "boolean" else str(value)
