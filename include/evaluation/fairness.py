"""Which holdout rows a champion may be judged on: those that it was neither trained nor validated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from include.errors import NoriaError
from include.evaluation.scoring import Floats
from include.spec.definition import Task

#: Fewest rows on which two models are compared, and fewest rows of each class of two classes.
FEWEST_ROWS: Final = 100
FEWEST_OF_A_CLASS: Final = 10

#: none: no champion. self: the challenger is the champion. fair: all rows. part: the rows that the champion has not
#: seen. unfair: too few such rows, so no comparison.
Status = Literal["none", "self", "fair", "part", "unfair"]


class WindowsUnknown(NoriaError):
    """The registry does not say what the champion was trained on, so a fair comparison cannot be shown."""

    def __init__(self, version: int, windows: Mapping[str, Any], problem: str) -> None:
        self.version = version
        self.windows = dict(windows)
        super().__init__(
            f"The registry's training windows of champion version {version} cannot be read ({problem}): {self.windows}."
            " Without them no fair comparison is possible. Register that version again, or deploy another one by hand."
        )


@dataclass(frozen=True)
class Seen:
    """A stretch of event time that a model was trained or validated on: [start, end)."""

    part: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Fairness:
    """Whether and on which rows a champion can be compared.

    :param usable: shape (rows,): rows that the champion has not seen.
    :param reason: a sentence for a person; None when all rows are used.
    """

    status: Status
    usable: NDArray[np.bool_]
    reason: str | None


def seen_windows(version: int, windows: Mapping[str, Any]) -> list[Seen]:
    """What a version was trained and validated on, by its registered windows.

    :param windows: ``{"train": {"start", "end"}, "validation": {"start", "end"}, …}`` in ISO 8601 with offset.
    :raises WindowsUnknown: if they are missing or cannot be read.
    """
    found = []
    for part in ("train", "validation"):
        try:
            start, end = (datetime.fromisoformat(windows[part][key]) for key in ("start", "end"))
        except (KeyError, TypeError, ValueError) as error:
            raise WindowsUnknown(version, windows, f"no readable start and end of {part!r}: {error!r}") from error
        if start.tzinfo is None or end.tzinfo is None:
            raise WindowsUnknown(version, windows, f"{part!r} has no time zone")
        found.append(Seen(part, start, end))
    return found


def judge_fairness(
    task: Task,
    event_times: NDArray[np.datetime64],
    labels: Floats,
    seen: Sequence[tuple[datetime, datetime]],
    *,
    version: int,
) -> Fairness:
    """Find the rows that the champion has not seen, and whether they are enough.

    :param event_times: local event time of each holdout row.
    :param seen: what the champion was trained or validated on, as naive local [start, end).
    """
    overlap = np.zeros(event_times.shape, dtype=bool)
    for start, end in seen:
        overlap |= (event_times >= np.datetime64(start)) & (event_times < np.datetime64(end))
    usable = ~overlap
    total, left = int(usable.size), int(usable.sum())
    if left == total:
        return Fairness("fair", usable, None)
    what = f"Champion version {version} was trained or validated on {total - left:,} of the {total:,} holdout rows"
    missing = _too_few(task, labels[usable])
    if missing:
        return Fairness("unfair", usable, f"{what}, and {missing} to compare on.")
    return Fairness("part", usable, f"{what}; the two are compared on the other {left:,}.")


def _too_few(task: Task, labels: Floats) -> str | None:
    if labels.size < FEWEST_ROWS:
        return f"the other {labels.size:,} are fewer than the {FEWEST_ROWS} that are needed"
    if task == "binary_classification":
        rarer = int(min((labels == 1).sum(), (labels == 0).sum()))
        if rarer < FEWEST_OF_A_CLASS:
            return f"the other {labels.size:,} hold only {rarer} of a class where {FEWEST_OF_A_CLASS} are needed"
    if task == "multiclass_classification":
        common = int((np.unique(labels, return_counts=True)[1] >= FEWEST_OF_A_CLASS).sum())
        if common < 2:
            return f"the other {labels.size:,} hold {FEWEST_OF_A_CLASS} rows of only {common} class where 2 are needed"
    return None
