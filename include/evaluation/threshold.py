"""The threshold at which the business's own number is best, found on the validation part, which is not judged on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from include.errors import Refused
from include.evaluation.grouping import Floats
from include.evaluation.objective import RowObjective, RowValues
from include.lake.store import store_of
from include.settings import Settings
from include.spec.costs import Costs
from include.spec.definition import Definition
from include.spec.objective import objective_columns
from include.training import holdout_inputs
from include.training.part_on_disk import read_part


def find_threshold(settings: Settings, definition: Definition, training: Mapping[str, Any]) -> float | None:
    """The version's own threshold, from its predictions for the validation part; None if the definition gives one.

    :param training: output of the step train.
    :raises NoThreshold: if none can be found.
    :raises RawDoesNotMatch: if the raw table does not hold the rows of the validation part.
    """
    evaluation = definition.evaluation
    if evaluation.threshold_from != "validation":
        return None
    file = settings.store / training["validation_predictions"]
    store_of(settings).fetch(file)
    predicted = pd.read_parquet(file)
    objective = None
    if evaluation.objective is not None and evaluation.costs is None:
        objective = RowObjective(evaluation.objective, _columns(settings, definition, training, predicted))
    return best_threshold(
        predicted["label"].to_numpy(dtype=np.float64),
        predicted["prediction"].to_numpy(dtype=np.float64),
        costs=evaluation.costs,
        objective=objective,
    )


def _columns(
    settings: Settings, definition: Definition, training: Mapping[str, Any], predicted: pd.DataFrame
) -> pa.Table:
    """What the objective reads of the predicted rows of the validation part."""
    names = sorted(objective_columns(definition))
    if not names:
        return pa.table({})
    reference = training["training_set"]
    rows = read_part(settings.store / reference["directory"], "validation")
    keys = ["partition", "_row"]
    found = predicted[keys].merge(rows.astype({"partition": str}), on=keys, how="left", validate="one_to_one")
    table = pa.Table.from_pandas(found, preserve_index=False)
    return holdout_inputs.read(settings, definition, reference["raw_version"], table, names)


class NoThreshold(Refused):
    """No threshold can be said to be best; carries why."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"evaluation.threshold_from: no threshold can be found on the validation part: {why}. Give "
            f"evaluation.threshold itself, or more validation rows."
        )


def best_threshold(
    labels: Floats, predictions: Floats, *, costs: Costs | None = None, objective: RowObjective | None = None
) -> float:
    """The probability from which yes is best on these rows: midway between the two predictions that it divides.

    Every threshold that divides the rows otherwise is tried; of equally good ones the smallest is taken.

    :param labels: 0 or 1, shape (rows,).
    :param predictions: probabilities, shape (rows,).
    :param costs: what answers cost; goes before the objective.
    :param objective: the business's own number for these rows.
    :returns: more than 0; less than 1 unless no number is between 1 and the prediction before it.
    :raises NoThreshold: if there are no rows, or nothing counts.
    """
    if not labels.size:
        raise NoThreshold("it has no row")
    yes, no = _answered(labels, predictions, costs, objective)
    order = np.argsort(predictions, kind="stable")
    ranked = predictions[order]
    # Cut k says no to the k smallest predictions.
    number, per = (_by_cut(y[order], n[order]) for y, n in zip(yes, no, strict=True))
    ends = np.concatenate(([0.0], ranked, [1.0]))
    allowed = (ends[:-1] < ends[1:]) & (per != 0)
    if not allowed.any():
        raise NoThreshold("the objective counts none of its rows")
    values = np.divide(number, per, out=np.full(per.shape, np.nan), where=allowed)
    smaller = objective is None or objective.objective.goal == "smaller" or costs is not None
    cut = int(np.nanargmin(values) if smaller else np.nanargmax(values))
    return _between(float(ends[cut]), float(ends[cut + 1]))


def _between(low: float, high: float) -> float:
    """About the middle of two probabilities, in few digits: more than ``low``, at most ``high``."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(3, 17))
    return next((value for value in rounded if low < value <= high and value < 1), high)


def _answered(
    labels: Floats, predictions: Floats, costs: Costs | None, objective: RowObjective | None
) -> tuple[RowValues, RowValues]:
    """What each row adds if the answer is yes, and if it is no."""
    if costs is not None:
        one = np.ones_like(labels)
        yes = np.where(labels == 1, costs.true_positive, costs.false_positive)
        return RowValues(yes, one), RowValues(np.where(labels == 1, costs.false_negative, costs.true_negative), one)
    if objective is None:
        raise NoThreshold("nothing says what an answer is worth")
    return (
        objective.values(labels, predictions, np.ones_like(labels)),
        objective.values(labels, predictions, np.zeros_like(labels)),
    )


def _by_cut(yes: Floats, no: Floats) -> Floats:
    """Sums with no for the first k rows and yes for the others, shape (rows + 1,)."""
    head, tail = np.concatenate(([0.0], np.cumsum(no))), np.concatenate((np.cumsum(yes[::-1])[::-1], [0.0]))
    sums: Floats = head + tail
    return sums
