"""The windows of the past that a model is trained, validated and judged on, as of an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from include.errors import Refused
from include.spec.definition import Definition
from include.spec.lengths import Lengths
from include.spec.partitions import Partition, PartitionCalendar

_DAY: Final = timedelta(days=1)


class NotEnoughPast(Refused):
    """The windows reach further back than the source's data."""

    def __init__(self, definition: Definition, as_of: datetime) -> None:
        self.as_of = as_of
        start = training_windows(definition, as_of).train.start
        super().__init__(
            f"Training {definition.model} as of {as_of.isoformat()} needs data from {start.isoformat()} on, but its "
            f"source starts on {definition.source.starts}. The first as_of with enough past is "
            f"{first_trainable(definition).isoformat()}; choose that or a later one, or shorten training.window."
        )


@dataclass(frozen=True)
class Window:
    """Event times with ``start <= event time < end``; both ends are instants with time zone."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class TrainingWindows:
    """Three windows that follow each other without gap or overlap: train, validation, holdout."""

    train: Window
    validation: Window
    holdout: Window


def training_windows(definition: Definition, as_of: datetime) -> TrainingWindows:
    """The windows as of an instant; the holdout ends where labels are known by then.

    While the source is young the training part begins with it, if that is at least ``training.shortest_window``.
    """
    calendar, lengths = PartitionCalendar.of(definition), Lengths.of(definition)
    end = earlier(calendar, as_of, definition.label.known_after)
    holdout = earlier(calendar, end, lengths.holdout)
    validation = earlier(calendar, holdout, lengths.validation)
    start = earlier(calendar, validation, lengths.window)
    if start < calendar.first.start <= earlier(calendar, validation, lengths.shortest):
        start = calendar.first.start
    return TrainingWindows(Window(start, validation), Window(validation, holdout), Window(holdout, end))


def needed_partitions(definition: Definition, as_of: datetime) -> list[Partition]:
    """The partitions that hold the windows, oldest first; of data without time, the whole.

    Partitions before the source's first can never come: they are left out if the definition lets as many be missing.

    :raises NotEnoughPast: if they are more than ``training.max_missing_partitions``.
    """
    calendar = PartitionCalendar.of(definition)
    if not definition.source.has_time:
        return [calendar.last_complete(as_of)]
    windows = training_windows(definition, as_of)
    wanted = calendar.covering(windows.train.start, windows.holdout.end)
    there = [partition for partition in wanted if partition.start >= calendar.first.start]
    if len(wanted) - len(there) > definition.training.max_missing_partitions:
        raise NotEnoughPast(definition, as_of)
    return there


def first_trainable(definition: Definition) -> datetime:
    """The first ``as_of`` at which the source reaches as far back as the windows do."""
    calendar = PartitionCalendar.of(definition)
    span = Lengths.of(definition).needed + definition.label.known_after
    moment = calendar.instant(calendar.local(calendar.first.start) + span)
    partition = calendar.containing(moment)
    return moment if partition.start == moment else partition.end


def earlier(calendar: PartitionCalendar, instant: datetime, duration: timedelta) -> datetime:
    """``instant`` less ``duration``: whole days are days of the calendar (midnight stays midnight over a change of
    the clock), the rest is elapsed time.
    """
    days = duration // _DAY
    moment = calendar.instant(calendar.local(instant) - days * _DAY) if days else instant
    return calendar.stamp(moment.astimezone(UTC) - duration % _DAY)
