"""Columns of many shapes, windows of them without drift, and windows into which a drift was put."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from include.spec.definition import FeatureType

Random = np.random.Generator
REFERENCE_ROWS: Final = 20_000
WINDOW_ROWS: Final = 5_000
TYPES: Final[dict[str, FeatureType]] = {
    "normal": "numeric", "uniform": "numeric", "skewed": "numeric", "heavy": "numeric", "hour": "numeric",
    "mostly_zero": "numeric", "related": "numeric", "gaps": "numeric", "few": "category", "many": "category",
    "rare": "category", "flag": "boolean",
}  # fmt: skip


def make_rows(random: Random, rows: int) -> pd.DataFrame:
    """Twelve columns; ``related`` follows ``normal``."""
    normal, gaps = random.normal(size=rows), random.normal(size=rows)
    gaps[random.random(rows) < 0.2] = np.nan
    frame = {
        "normal": normal,
        "uniform": random.random(rows),
        "skewed": random.lognormal(0, 1, rows),
        "heavy": random.standard_t(3, rows),
        "hour": random.integers(0, 24, rows).astype(float),
        "mostly_zero": np.where(random.random(rows) < 0.8, 0.0, random.exponential(1, rows)),
        "related": 0.8 * normal + 0.6 * random.normal(size=rows),
        "gaps": gaps,
        "few": random.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
        "many": _names(random.zipf(1.5, rows).clip(0, 200)),
        "rare": _names(random.integers(0, 1000, rows)),
        "flag": random.random(rows) < 0.3,
    }
    return pd.DataFrame(frame)


def _names(numbers: Any) -> Any:
    return np.char.add("c", numbers.astype(str))


def _shift(deviations: float) -> Callable[[pd.DataFrame, Random], str]:
    def shift(frame: pd.DataFrame, random: Random) -> str:
        del random
        frame["normal"] += deviations
        return "normal"

    return shift


def _swap(frame: pd.DataFrame, random: Random) -> str:
    """One row in ten of the greatest category takes the name of the smallest."""
    swapped = (frame["few"] == "a") & (random.random(len(frame)) < 0.1 / 0.6)
    frame.loc[swapped, "few"] = "c"
    return "few"


def _burst(frame: pd.DataFrame, random: Random) -> str:
    frame.loc[random.random(len(frame)) < 0.1, "uniform"] = np.nan
    return "uniform"


def _flip(frame: pd.DataFrame, random: Random) -> str:
    """The relation turns; neither column's own distribution does."""
    del random
    frame["related"] = -frame["related"]
    return "related"


DRIFTS: Final[dict[str, Callable[[pd.DataFrame, Random], str]]] = {
    "shift of 0.1 sd": _shift(0.1),
    "shift of 0.25 sd": _shift(0.25),
    "shift of 0.5 sd": _shift(0.5),
    "categories swapped (10 %)": _swap,
    "missing burst (10 %)": _burst,
    "flipped relation": _flip,
}
"""Puts a drift into a window and returns the column that has it."""
