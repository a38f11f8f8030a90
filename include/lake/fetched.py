"""Columns that DuckDB's ``fetchnumpy`` gives, as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def floats(values: Any) -> NDArray[np.float64]:
    """A column of numbers; null is NaN."""
    numbers = np.asarray(np.ma.getdata(values), dtype=np.float64)
    return np.where(np.ma.getmaskarray(values), np.nan, numbers)


def flags(values: Any) -> NDArray[np.bool_]:
    """A column of truth values; null is false."""
    found = np.asarray(np.ma.getdata(values), dtype=bool)
    return found & ~np.ma.getmaskarray(values)


def objects(values: Any) -> NDArray[Any]:
    """A column of any type; null is None."""
    found = np.asarray(np.ma.getdata(values)).astype(object)
    found[np.ma.getmaskarray(values)] = None
    return found
