"""Which holdout rows a champion may be judged on: those that it was neither trained nor validated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from include.errors import NoriaError
from include.evaluation.grouping import Floats
from include.spec.definition import Task
from include.spec.share import parse_parts

#: Fewest rows on which two models are compared, and fewest rows of each class of two classes.
FEWEST_ROWS: Final = 100
FEWEST_OF_A_CLASS: Final = 10

_BY_TIME: Final = "their event time"

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


@dataclass(frozen=True)
class SeenPlaces:
    """Places that a model was trained or validated on: [start, end); ``by`` is None if its rows were split by time."""

    start: int
    end: int
    by: str | None


def seen_places(version: int, windows: Mapping[str, Any]) -> list[SeenPlaces]:
    """What a version was trained and validated on, if its rows had no time.

    :param windows: ``{"train": {"start", "end", "by"}, …}``, shares in percent.
    :raises WindowsUnknown: if they are missing or cannot be read.
    """
    found = []
    for part in ("train", "validation"):
        try:
            window = windows[part]
            if "by" not in window:
                found.append(SeenPlaces(0, 0, None))
                continue
            start, end = (parse_parts(window[key]) for key in ("start", "end"))
        except (KeyError, TypeError, ValueError) as error:
            raise WindowsUnknown(version, windows, f"no readable start and end of {part!r}: {error!r}") from error
        found.append(SeenPlaces(start, end, str(window["by"])))
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
    return judge_rows(task, overlap, labels, version=version)


def judge_places(
    task: Task,
    places: NDArray[np.int64],
    labels: Floats,
    windows: Mapping[str, Any],
    *,
    by: str,
    version: int,
) -> Fairness:
    """The same for data without time, whose rows are split by the hash of their entity.

    An entity has the same place for every version, so the champion has not seen the rows outside of its own training
    and validation shares, whatever was delivered when. If it was split by anything else, nothing is known of any row.

    :param places: of the holdout rows, shape (rows,).
    :param windows: the champion's registered ones.
    :param by: the columns that give these rows their place.
    """
    seen = seen_places(version, windows)
    if any(one.by != by for one in seen):
        return split_otherwise(int(places.size), version=version, was=seen[0].by or _BY_TIME, now=by)
    overlap = np.zeros(places.shape, dtype=bool)
    for one in seen:
        overlap |= (places >= one.start) & (places < one.end)
    return judge_rows(task, overlap, labels, version=version)


def split_otherwise(rows: int, *, version: int, was: str, now: str = _BY_TIME) -> Fairness:
    """No comparison: the champion's rows were split by something else than these.

    :param was: what its rows were split by; ``now`` likewise.
    """
    reason = (
        f"Champion version {version} was trained on rows split by {was}, and these are split by {now}, so it is not "
        "known which of them it has seen. Deploy this version by hand if it is to take its place."
    )
    return Fairness("unfair", np.zeros(rows, dtype=bool), reason)


def judge_rows(task: Task, overlap: NDArray[np.bool_], labels: Floats, *, version: int) -> Fairness:
    """Whether the rows that the champion has not seen are enough.

    :param overlap: shape (rows,): rows that it has seen.
    """
    usable = ~overlap
    total, left = int(usable.size), int(usable.sum())
    if left == total:
        return Fairness("fair", usable, None)
    what = f"Champion version {version} was trained or validated on {total - left:,} of the {total:,} holdout rows"
    missing = too_few(task, labels[usable])
    if missing:
        return Fairness("unfair", usable, f"{what}, and {missing} to compare on.")
    return Fairness("part", usable, f"{what}; the two are compared on the other {left:,}.")


def too_few(task: Task, labels: Floats) -> str | None:
    """In words what these rows lack for a comparison; None if they are enough.

    :param labels: of the rows that are left, shape (rows,).
    """
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
