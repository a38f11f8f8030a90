"""The luck that one stretch of time cannot show: good models disagree about a morning or a storm as a whole.

Two trainings of one definition with other seeds truly differ on a given day, and on the next day the other way round.
Whoever sees few days must not take that for a fault. How much it is was measured on real flights
(``ADR-live-judgement.md``); whether it is there at all shows in the predictions: differences that rows of an hour share
come from models that have learned differently, while noise and constant shifts leave the hours alike.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from include.evaluation.grouping import Floats
from include.evaluation.live_intervals import grouped

#: Standard deviation, for one hour of events, of the mean difference of two good models, as a multiple of the rows'
#: own. Hours of one day are not independent; this is for hours as they count towards days.
SHIFT_OF_AN_HOUR: Final = 1.7
#: Standard deviation, for one hour of events, of the difference in a metric, as a part of the metric's value.
QUALITY_OF_AN_HOUR: Final = 0.11
#: From so many hours on only as much disagreement between rows counts as luck as seeds show, in standard deviations of
#: the champion's predictions.
_HOURS: Final = 24
_SEEDS_DISAGREE: Final = 0.35
#: Share of the disagreement that rows of an hour have in common: up to the first it may be chance, from the second on
#: it is that of models that have learned differently.
_CHANCE: Final = 0.02
_LEARNED: Final = 0.10


def luck_of_shift(challenger: Floats, champion: Floats, times: NDArray[Any]) -> float:
    """Standard error to add to a shift of the mean prediction, in standard deviations of the champion's predictions.

    :param times: of the events; all arrays have shape (rows,).
    """
    spread = float(champion.std())
    if spread <= 0:
        return 0.0
    hours = _hours_of(times)
    disagree = float((challenger - champion).std()) / spread
    counted = min(disagree, _SEEDS_DISAGREE) if hours >= _HOURS else disagree
    return SHIFT_OF_AN_HOUR * counted * _learned(challenger - champion, times) / math.sqrt(hours)


def luck_of_quality(challenger: Floats, champion: Floats, times: NDArray[Any]) -> float:
    """Standard error to add to a difference in a metric, as a part of the metric's value.

    :param times: of the events; all arrays have shape (rows,).
    """
    difference = (challenger - champion).reshape(champion.shape[0], -1)
    learned = max((_learned(column, times) for column in difference.T), default=0.0)
    return QUALITY_OF_AN_HOUR * learned / math.sqrt(_hours_of(times))


def _hours_of(times: NDArray[Any]) -> int:
    return max(1, np.unique(times.astype("datetime64[h]") if times.dtype.kind == "M" else times).size)


def _learned(difference: Floats, times: NDArray[Any]) -> float:
    """0: the hours are alike; 1: they differ as those of two models that have learned differently."""
    groups = np.unique(times.astype("datetime64[h]"), return_inverse=True)[1] if times.dtype.kind == "M" else None
    if groups is None or groups.max(initial=0) < 1:
        groups = grouped(np.zeros(difference.size))
    found, error = intraclass_correlation(difference, groups)
    return math.sqrt(min(1.0, max(0.0, (found + 2 * error - _CHANCE) / (_LEARNED - _CHANCE))))


def intraclass_correlation(values: Floats, groups: NDArray[np.intp]) -> tuple[float, float]:
    """The part of the values' variance that rows of a group have in common (one-way analysis of variance; Donner, A
    review of inference procedures for the intraclass correlation coefficient, Int. Statist. Rev. 54, 1986).

    :param groups: each row's group, 0 to groups - 1, none empty; shape (rows,).
    :returns: it and its standard error; zeros if there are fewer than two groups, or no variance.
    """
    many = int(groups.max(initial=-1)) + 1
    rows = values.size
    if many < 2 or rows <= many:
        return 0.0, 0.0
    sizes = np.bincount(groups, minlength=many)
    means = np.bincount(groups, values, minlength=many) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (many - 1)
    within = float(((values - means[groups]) ** 2).sum()) / (rows - many)
    typical = (rows - float((sizes**2).sum()) / rows) / (many - 1)
    total = between + (typical - 1) * within
    if total <= 1e-30:
        return 0.0, 0.0
    found = (between - within) / total
    scale = (1 - found) * (1 + (typical - 1) * max(found, 0.0)) / typical
    return found, scale * math.sqrt(2 / (many - 1))
