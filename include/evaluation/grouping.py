"""Rows in groups that are resampled whole: sums by group say all that a resample needs of most metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """To which group each row belongs.

    :param places: shape (rows,): each row's group, 0 to count - 1.
    :param count: how many groups there are.
    """

    places: NDArray[np.intp]
    count: int

    @property
    def sizes(self) -> Floats:
        """How many rows each group has, shape (count,)."""
        return np.bincount(self.places, minlength=self.count).astype(np.float64)

    def sums(self, values: Floats, order: NDArray[np.intp] | None = None) -> Floats:
        """The sum of each group's values.

        :param values: shape (rows,) or (rows, columns).
        :param order: the rows' numbers in the order of the values; as they are if left out.
        :returns: shape (count,) or (count, columns).
        """
        places = self.places if order is None else self.places[order]
        if values.ndim == 1:
            return np.bincount(places, weights=values, minlength=self.count).astype(np.float64)
        columns = [np.bincount(places, weights=column, minlength=self.count) for column in values.T]
        return np.stack(columns, axis=1)


def ratio(above: Floats, below: Floats) -> Floats:
    """The one divided by the other; NaN unless that is more than 0."""
    result: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result
