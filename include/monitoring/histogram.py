"""Both sides of a numeric column over bins of equal width, as people are used to see a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

_CELLS: Final = 24
#: With fewer edges the profile's bins are single values or nearly, and are drawn as they are.
_FEWEST_EDGES: Final = 10
_BEYOND: Final = 0.3
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Histogram:
    """Rows by bin.

    :param edges: one more than there are bins.
    :param reference: estimated rows by bin; what lies outside is in the outer bins.
    """

    edges: tuple[float, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]


def draw(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Histogram | None:
    """A histogram of a numeric column; None if it has few different values, or is none.

    Rows lie evenly within the profile's bins. Of the outermost bins, which may be wide, a part is drawn.
    """
    if reference["type"] != "numeric" or len(reference["edges"]) < _FEWEST_EDGES:
        return None
    edges = np.asarray(reference["edges"], dtype=np.float64)
    span = edges[-2] - edges[1]
    if not np.isfinite(span):
        return None
    low, high = max(edges[0], edges[1] - _BEYOND * span), min(edges[-1], edges[-2] + _BEYOND * span)
    cuts = np.linspace(low, high, _CELLS + 1)
    sides = []
    for side in (reference, current):
        below = np.interp(cuts, edges, np.cumsum(side["counts"])[:-1])
        below[0], below[-1] = 0, sum(side["counts"])
        sides.append(tuple(int(count) for count in np.diff(np.rint(below))))
    return Histogram(tuple(float(cut) for cut in np.where(np.abs(cuts) < _TINY, 0.0, cuts)), sides[0], sides[1])
