"""The windows of the past that a model is trained, validated and judged on, as of an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from include.spec.definition import Definition
from include.spec.partitions import Partition, PartitionCalendar

_DAY: Final = timedelta(days=1)


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
    """The windows as of an instant; the holdout ends where labels are known by then."""
    calendar, training = PartitionCalendar.of(definition), definition.training
    end = earlier(calendar, as_of, definition.label.known_after)
    holdout = earlier(calendar, end, training.holdout)
    validation = earlier(calendar, holdout, training.validation)
    start = earlier(calendar, validation, training.window)
    return TrainingWindows(Window(start, validation), Window(validation, holdout), Window(holdout, end))


def needed_partitions(definition: Definition, as_of: datetime) -> list[Partition]:
    """The partitions that hold the windows, oldest first."""
    windows = training_windows(definition, as_of)
    calendar = PartitionCalendar.of(definition)
    return calendar.covering(windows.train.start, windows.holdout.end)


def earlier(calendar: PartitionCalendar, instant: datetime, duration: timedelta) -> datetime:
    """``instant`` less ``duration``: whole days are days of the calendar (midnight stays midnight over a change of
    the clock), the rest is elapsed time.
    """
    days = duration // _DAY
    moment = calendar.instant(calendar.local(instant) - days * _DAY) if days else instant
    return calendar.stamp(moment.astimezone(UTC) - duration % _DAY)
