"""Metrics by the values of a column: where a model is weak, and where the challenger is worse than the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.comparison import Comparison, Judging, compare
from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats

#: How many values of a column are shown, the most frequent first.
MOST_VALUES: Final = 20
#: Below this many rows a slice's metrics say nothing.
FEWEST_ROWS: Final = 30
#: Slices are many and small: fewer resamples are enough to see whether a difference is more than noise.
_ROUNDS: Final = 300

MISSING: Final = "(missing)"


@dataclass(frozen=True)
class Slice:
    """One value of a column.

    :param comparison: None if there are too few rows.
    :param reason: why there is no comparison.
    """

    column: str
    value: str
    rows: int
    comparison: Comparison | None
    reason: str | None = None

    def to_document(self, judging: Judging) -> dict[str, Any]:
        """JSON: metrics of each contender and the improvements; all null with the reason if there are too few rows."""
        document: dict[str, Any] = {"column": self.column, "value": self.value, "rows": self.rows}
        if self.comparison is None:
            nothing = Estimate(None, None, None, self.reason).to_document()
            metrics = {metric.name: nothing for metric in judging.metrics}
            return document | {"reason": self.reason, "metrics": {"challenger": metrics}, "improvements": {}}
        return document | {
            "reason": None,
            "metrics": _documents(self.comparison.estimates),
            "improvements": _documents(self.comparison.improvements),
        }


def _documents(estimates: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    return {
        name: {metric: value.to_document() for metric, value in metrics.items()} for name, metrics in estimates.items()
    }


def judge_slices(
    judging: Judging,
    columns: pd.DataFrame,
    labels: Floats,
    challenger: Floats,
    references: Mapping[str, Floats],
    partitions: NDArray[Any] | None = None,
) -> list[Slice]:
    """Judge each of the most frequent values of each column.

    :param columns: the slices' columns, one row for each label, in the same order.
    :param partitions: each row's partition; None if no row has to do with another.
    :returns: in the order of the columns, then by falling number of rows.
    """
    quick = replace(judging, rounds=min(judging.rounds, _ROUNDS))
    found = []
    for column in columns.columns:
        values = _as_text(columns[column])
        for value, rows in _most_frequent(values):
            chosen = (values == value).to_numpy()
            if rows < FEWEST_ROWS:
                found.append(
                    Slice(str(column), value, rows, None, f"only {rows} rows; at least {FEWEST_ROWS} are needed")
                )
                continue
            parts = {name: predictions[chosen] for name, predictions in references.items()}
            where = None if partitions is None else partitions[chosen]
            compared = compare(quick.on(chosen), labels[chosen], challenger[chosen], parts, where)
            found.append(Slice(str(column), value, rows, compared))
    return found


def _as_text(values: pd.Series[Any]) -> pd.Series[str]:
    return values.astype(object).where(values.notna(), MISSING).map(str)


def _most_frequent(values: pd.Series[str]) -> list[tuple[str, int]]:
    names, counts = np.unique(values.to_numpy(dtype=str), return_counts=True)
    ranked = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return ranked[:MOST_VALUES]
