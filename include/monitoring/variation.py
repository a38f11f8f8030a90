"""How much a column varies anyway: how far the training part's own stretches of time lie from the rest of it.

Rows of real data are not independent: days have weather, weeks have weekends. A test that takes them as independent
finds every large window drifted. So a window has drifted only if it differs by more than such stretches do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from include.monitoring.chance import beyond_chance
from include.monitoring.distances import absent_count, value_counts
from include.training.column_profile import from_vector, to_vector

_FEWEST: Final = 3
#: A dozen stretches do not show the worst that is usual. Without it 29 % of real weeks of flights had a drifted feature
#: beside the other weeks of their quarter, with it 10 %, of which half had a holiday or an instrument that failed.
_MARGIN: Final = 1.5


@dataclass(frozen=True)
class Variation:
    """The greatest differences of stretches of the reference from its rest, as far as chance does not explain them,
    with a margin.

    :param values: Kolmogorov-Smirnov distance (numbers) or total variation (categories, booleans).
    :param missing: difference of the shares without a value.
    """

    values: float
    missing: float


_UNKNOWN: Final = Variation(0.0, 0.0)


def variation(profile: Mapping[str, Any], *, partitions: int, window: int) -> Variation:
    """How a profile's stretches vary, put together so that they are about as long as the window; with fewer than three
    stretches that is not known, and taken for nothing.

    :param partitions: how many the reference is made of.
    :param window: how many partitions the window is made of.
    """
    vectors = np.array(profile.get("stretches", ()), dtype=np.int64)
    if len(vectors) < _FEWEST:
        return _UNKNOWN
    joined = int(np.clip(round(window * len(vectors) / max(partitions, 1)), 1, len(vectors) // _FEWEST))
    whole = np.array(to_vector(profile), dtype=np.int64)
    ends = np.cumsum(np.vstack([np.zeros_like(whole), vectors]), axis=0)
    parts = ends[joined:] - ends[:-joined]
    found = [_difference(profile, part, whole - part) for part in parts]
    # Never more than all rows: a window that shares nothing with the reference has drifted, whatever is usual.
    values, missing = (min(_MARGIN * max(one), 1.0) for one in zip(*found, strict=True))
    return Variation(values, missing)


def _difference(
    profile: Mapping[str, Any], part: npt.NDArray[np.int64], rest: npt.NDArray[np.int64]
) -> tuple[float, float]:
    first, second = (from_vector(profile, side.tolist()) for side in (rest, part))
    before, now = value_counts(first), value_counts(second)
    numeric = profile["type"] == "numeric"
    moved = beyond_chance(before, now, numeric=numeric) if before.sum() and now.sum() else 0.0
    absent = [np.array([counts.sum(), absent_count(side)]) for side, counts in ((first, before), (second, now))]
    if not absent[0].sum() or not absent[1].sum():
        return moved, 0.0
    return moved, beyond_chance(absent[0], absent[1], numeric=False)
