"""How much worse a model becomes when its inputs are worse than those that it was trained on.

The raw inputs of the holdout rows are disturbed on purpose, with a seed, and the packaged model answers them as it
would answer requests: features, encoding and all. Both answers are judged on the same resamples of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.comparison import CHALLENGER, Judging, compare
from include.evaluation.holdout import Holdout
from include.evaluation.logged_models import Predict
from include.spec.check_robustness import FITTING
from include.spec.columns import input_columns
from include.spec.definition import ColumnType, Definition
from include.spec.robustness import Disturbance

#: A text that no training part holds.
UNSEEN: Final = "\u2043 never seen \u2043"
_UNDISTURBED: Final = "undisturbed"


def judge_robustness(
    definition: Definition, judging: Judging, holdout: Holdout, predict: Predict
) -> list[dict[str, Any]]:
    """Measure each disturbance of the definition.

    :param predict: the challenger's packaged model.
    :returns: JSON for each: ``disturbance`` (in words), ``columns``, ``metric``, ``tolerance``, ``undisturbed`` and
        ``disturbed`` (estimates of the metric), ``change`` (paired; negative is worse, whatever the metric).
    """
    types = input_columns(definition)
    # What disturbs a column looks at all of it: here, and only here, all inputs of the holdout are in memory.
    inputs = holdout.inputs if isinstance(holdout.inputs, pd.DataFrame) else holdout.inputs.frame()
    found = []
    for number, disturbance in enumerate(definition.evaluation.robustness):
        columns = disturbed_columns(disturbance, types)
        generator = np.random.default_rng([definition.training.seed, number])
        rows = disturb(disturbance, inputs, {name: types[name] for name in columns}, generator)
        metric = disturbance.metric or definition.evaluation.metrics[0]
        references = {_UNDISTURBED: holdout.predictions}
        measured = compare(judging, holdout.labels, predict(rows), references, holdout.partitions)
        found.append(
            {
                "disturbance": describe(disturbance, columns),
                "columns": columns,
                "metric": metric,
                "tolerance": disturbance.tolerance,
                "undisturbed": measured.estimates[_UNDISTURBED][metric].to_document(),
                "disturbed": measured.estimates[CHALLENGER][metric].to_document(),
                "change": measured.improvements[_UNDISTURBED][metric].to_document(),
            }
        )
    return found


def disturbed_columns(disturbance: Disturbance, types: dict[str, ColumnType]) -> list[str]:
    """The input columns that a disturbance changes, in the definition's order.

    :param types: the model's input columns and their types.
    """
    wanted = disturbance.columns
    return [
        name for name, kind in types.items() if kind in FITTING[disturbance.kind] and (not wanted or name in wanted)
    ]


def describe(disturbance: Disturbance, columns: list[str]) -> str:
    """The disturbance in words, as they follow ``with``."""
    amount = disturbance.amount
    share = f"{100 * amount:.3g} % of the values"
    among = "every input that it fits" if disturbance.columns is None else " and ".join(columns)
    return {
        "noise": f"an error of {amount:g} standard deviations on {among}",
        "missing": f"{share} missing in {among}",
        "scale": f"{among} times {amount:g}",
        "unseen": f"{share} never seen before in {among}",
    }[disturbance.kind]


def disturb(
    disturbance: Disturbance, rows: pd.DataFrame, columns: dict[str, ColumnType], generator: np.random.Generator
) -> pd.DataFrame:
    """A disturbed copy of raw rows.

    :param columns: those to change, and their types.
    """
    changed = rows.copy(deep=False)
    for name, kind in columns.items():
        column = rows[name]
        changed[name] = pd.Series(
            _CHANGES[disturbance.kind](column, kind, disturbance.amount, generator), index=rows.index
        )
    return changed


def _with_noise(column: pd.Series[Any], kind: ColumnType, amount: float, generator: np.random.Generator) -> Any:
    values = _numbers(column)
    known = values[np.isfinite(values)]
    spread = float(known.std()) if known.size else 0.0
    return _typed(values + generator.normal(0.0, amount * spread, len(values)), kind)


def _scaled(column: pd.Series[Any], kind: ColumnType, amount: float, _: np.random.Generator) -> Any:
    return _typed(_numbers(column) * amount, kind)


def _with_gaps(column: pd.Series[Any], kind: ColumnType, amount: float, generator: np.random.Generator) -> Any:
    gaps = generator.random(len(column)) < amount
    if kind == "number":
        return np.where(gaps, np.nan, _numbers(column))
    values = column.to_numpy(dtype=object, copy=True)
    values[gaps] = None
    return values


def _with_strangers(column: pd.Series[Any], _kind: ColumnType, amount: float, generator: np.random.Generator) -> Any:
    values = column.to_numpy(dtype=object, copy=True)
    values[generator.random(len(column)) < amount] = UNSEEN
    return values


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column of numbers as float64; null is NaN."""
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def _typed(values: NDArray[np.float64], kind: ColumnType) -> Any:
    """Numbers in the form in which they are read: an integer stays one, null is None."""
    if kind == "number":
        return values
    return np.array([int(value) if np.isfinite(value) else None for value in np.rint(values)], dtype=object)


_CHANGES: Final[dict[str, Callable[[pd.Series[Any], ColumnType, float, np.random.Generator], Any]]] = {
    "noise": _with_noise,
    "scale": _scaled,
    "missing": _with_gaps,
    "unseen": _with_strangers,
}
