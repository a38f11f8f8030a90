"""Reference profiles: how each feature was distributed in the training part, small enough to travel with the model.

Monitoring reads it from ``profile.json``: with it a check needs no training data, only the rows that are new. What a
column's profile holds is said in :mod:`include.training.column_profile`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.lake.columns import PARTITION
from include.spec.definition import FeatureType, Task
from include.training.column_profile import profile_column
from include.training.confidence import learn_confidence
from include.training.packaged_model import PREFIX, likeliest
from include.training.part_on_disk import PartOnDisk

Document = dict[str, Any]
Stretches = npt.NDArray[np.intp] | None

FORMAT: Final = 2
"""1 had ten bins, no stretches, and did not tell unseen categories from rare ones."""
MOST_STRETCHES: Final = 16


def make_profile(
    frame: pd.DataFrame | PartOnDisk,
    feature_types: Mapping[str, FeatureType],
    *,
    predictions: Any,
    labels: Any,
    task: Task,
    classes: Sequence[str] = (),
    holdout_partitions: pd.Series | None = None,
) -> Document:
    """The profile of a model.

    ``partitions`` and ``holdout_partitions`` say of how many partitions the rows are. They are cut into as many
    stretches of time as there are, but at most ``MOST_STRETCHES``, and each column has counts for each stretch.
    ``confidence`` is what quality is estimated with where there are no labels; profiles of older versions have none.

    :param frame: rows of the training part with a column ``feature_<name>`` for each feature, and ``partition`` if
        their time is known.
    :param predictions: the model's predictions on the holdout part, which it never saw.
    :param labels: labels of the holdout part.
    :param classes: of a multiclass classification. Its labels and predictions are profiled as categories.
    :param holdout_partitions: partition of each row of the holdout part.
    """
    count, stretches = _stretches(frame.get(PARTITION))
    holdout_count, holdout = _stretches(holdout_partitions)
    return {
        "format": FORMAT,
        "rows": len(frame),
        "partitions": count,
        "features": {
            name: profile_column(frame[PREFIX + name], kind, stretches=stretches)
            for name, kind in feature_types.items()
        },
        "holdout_rows": len(labels),
        "holdout_partitions": holdout_count,
        "prediction": _profile_answers(predictions, classes, holdout),
        "label": _profile_labels(labels, task, classes, holdout),
        "confidence": learn_confidence(task, labels, predictions, holdout_partitions),
    }


def _stretches(partitions: pd.Series | None) -> tuple[int, Stretches]:
    """How many partitions there are, and each row's stretch; None if one partition holds all, so that none can vary."""
    if partitions is None:
        return 1, None
    places, keys = pd.factorize(partitions, sort=True)
    count = len(keys)
    return count, places * min(count, MOST_STRETCHES) // count if count > 1 else None


def _profile_answers(predictions: Any, classes: Sequence[str], stretches: Stretches) -> Document:
    if not classes:
        return profile_column(predictions, "numeric", stretches=stretches)
    return _profile_classes(likeliest(np.reshape(predictions, (-1, len(classes)))), classes, stretches)


def _profile_labels(labels: Any, task: Task, classes: Sequence[str], stretches: Stretches) -> Document:
    if classes:
        return _profile_classes(np.asarray(labels), classes, stretches)
    binary = task == "binary_classification"
    kind: FeatureType = "boolean" if binary else "numeric"
    return profile_column(np.asarray(labels) > 0 if binary else labels, kind, stretches=stretches)


def _profile_classes(places: Any, classes: Sequence[str], stretches: Stretches) -> Document:
    """Counts of all classes, in the order of the classes' names, also of those that no row has."""
    names = [classes[int(place)] for place in places]
    return profile_column(names, "category", stretches=stretches, categories=classes)
