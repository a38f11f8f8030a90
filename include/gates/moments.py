"""Numbers of a column that is read batch by batch: sum, mean, standard deviation, extremes, share of values.

Batches are put together as Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for computing sample
variances", 1979), in the order of the rows, so that the same rows give the same digits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from include.gates.suite import Expectation

if TYPE_CHECKING:
    import pandas as pd

#: What Great Expectations calls each number, by the expectation's type.
_NAMES: Final = {
    "expect_column_mean_to_be_between": "column.mean",
    "expect_column_stdev_to_be_between": "column.standard_deviation",
    "expect_column_min_to_be_between": "column.min",
    "expect_column_max_to_be_between": "column.max",
    "expect_column_sum_to_be_between": "column.sum",
    "expect_column_proportion_of_non_null_values_to_be_between": "column.non_null_proportion",
}


class Moments:
    """One expectation's number."""

    def __init__(self, expectation: Expectation) -> None:
        self._name = _NAMES[expectation.type]
        self._rows = self._count = 0
        self._sums: list[Any] = []
        self._mean = self._squares = 0.0
        self._lowest: Any = math.nan
        self._highest: Any = math.nan

    def add(self, column: pd.Series) -> None:
        """Add the next rows.

        :raises ValueError: if a value is no number.
        """
        values = column.dropna()
        self._rows += len(column)
        self._count += len(values)
        if not len(values) or self._name == "column.non_null_proportion":
            return
        if self._name in ("column.min", "column.max"):
            low, high = values.min(), values.max()
            self._lowest = low if len(values) == self._count else min(self._lowest, low)
            self._highest = high if len(values) == self._count else max(self._highest, high)
            return
        self._sums.append(values.sum())
        numbers = values.to_numpy(dtype="float64")
        mean, before = float(numbers.mean()), self._count - len(values)
        delta = mean - self._mean
        self._mean += delta * len(values) / self._count
        self._squares += float(((numbers - mean) ** 2).sum()) + delta**2 * before * len(values) / self._count

    def metrics(self) -> dict[str, Any]:
        """The number by its name."""
        return {self._name: self._value()}

    def _value(self) -> Any:
        if self._name == "column.non_null_proportion":
            return self._count / self._rows if self._rows else 0
        if self._name == "column.min":
            return self._lowest
        if self._name == "column.max":
            return self._highest
        if self._name == "column.standard_deviation":
            return math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else math.nan
        if self._name == "column.mean":
            return math.fsum(map(float, self._sums)) / self._count if self._count else math.nan
        whole = all(not isinstance(one, float) for one in self._sums)
        return sum(map(int, self._sums)) if whole else math.fsum(self._sums)
