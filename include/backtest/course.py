"""The windows of a backtest: where it begins, where it ends, and how long each window is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from include.errors import Refused
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.duration import parse_duration
from include.spec.partitions import Partition, PartitionCalendar
from include.spec.windows import first_trainable, needed_partitions
from include.stack.course import month_from

MONTH: Final = "month"
_LENGTHS: Final = {"week": timedelta(days=7), "day": timedelta(days=1)}


class BacktestNeedsTime(Refused):
    """The model's data has no time, so there is no history to go through."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"A backtest goes through a model's past, and the data of {model} has none: its source has no event_time. "
            "Give it one if its rows have a time; else judge it by its holdout part, which every training does."
        )


class NoWindow(Refused):
    """Not one whole window lies between the first training and the end of the data."""

    def __init__(self, model: str, since: datetime, until: datetime, every: str) -> None:
        self.since, self.until = since, until
        super().__init__(
            f"There is no whole {every} of {model} between the first training as of {since.isoformat()} and "
            f"{until.isoformat()}, the end of its data or what was asked for. Begin earlier, or take shorter windows."
        )


class BadEvery(Refused):
    """The length of the windows cannot be read."""

    def __init__(self, every: str) -> None:
        super().__init__(f"{every!r} is no length of a window: write month, week, day or a number of days such as 14d.")


@dataclass(frozen=True)
class Window:
    """Event times with ``start <= event time < end`` that one version answers; its end is the next training's as-of."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a backtest goes through.

    :param since: as-of of the first training.
    :param every: how long a window is, as it was asked for.
    :param windows: one after the other from there.
    :param first: key of the oldest partition that any of it needs; ``last`` of the newest.
    """

    since: datetime
    every: str
    windows: tuple[Window, ...]
    first: str
    last: str


def plan_backtest(
    definition: Definition, *, since: str | None = None, until: str | None = None, every: str = MONTH
) -> Course:
    """Cut a model's history into windows.

    :param since: as-of of the first training, a date of the source's clock or an instant; else the first start of a
        month at which there is enough past.
    :param until: likewise the end of the last window; else the end of the archive, or now.
    :param every: month, week, day, or whole days such as 14d.
    :raises BacktestNeedsTime: if the data has no time.
    :raises NoWindow: if no whole window fits.
    :raises NotEnoughPast: if there is too little data before ``since``.
    """
    require_time(definition)
    calendar = PartitionCalendar.of(definition)
    end = _instant(definition, until) if until else resolve_as_of(
        definition, requested=None, partition_key=None, data_interval_end=calendar.end_of_data or datetime.now(UTC)
    )  # fmt: skip
    begin = _instant(definition, since) if since else month_from(first_trainable(definition), calendar)
    needed = needed_partitions(definition, begin)
    windows = tuple(_cut(calendar, begin, end, every))
    if not windows:
        raise NoWindow(definition.model, begin, end, every)
    return Course(
        since=begin,
        every=every,
        windows=windows,
        first=needed[0].key,
        last=calendar.last_complete(windows[-1].end).key,
    )


def require_time(definition: Definition) -> None:
    """See to it that there is a history to go through.

    :raises BacktestNeedsTime: if the data has no time.
    """
    if not definition.source.has_time:
        raise BacktestNeedsTime(definition.model)


def partitions_of(calendar: PartitionCalendar, window: Window) -> list[Partition]:
    """The partitions that lie in a window."""
    return [one for one in calendar.covering(window.start, window.end) if window.start <= one.start < window.end]


def _instant(definition: Definition, text: str) -> datetime:
    """An instant that is the end of a partition; a date stands for its midnight on the source's clock."""
    try:
        day = date.fromisoformat(text.strip())
        text = PartitionCalendar.of(definition).instant(datetime.combine(day, time())).isoformat()
    except ValueError:
        pass  # an instant, or something that is refused as one
    return resolve_as_of(definition, requested=text, partition_key=None, data_interval_end=None)


def _cut(calendar: PartitionCalendar, begin: datetime, end: datetime, every: str) -> Iterator[Window]:
    """Whole windows only: of what is left over, nothing could be compared with them."""
    start = begin
    while True:
        following = _after(calendar, start, every)
        if following > end:
            return
        yield Window(_name(calendar, start, following, every), start, following)
        start = following


def _after(calendar: PartitionCalendar, start: datetime, every: str) -> datetime:
    local = calendar.local(start)
    if every == MONTH:
        return calendar.containing(month_from(start + timedelta(seconds=1), calendar)).start
    return calendar.containing(calendar.instant(local + _length(every))).start


def _length(every: str) -> timedelta:
    try:
        length = _LENGTHS.get(every) or parse_duration(every)
    except ValueError:
        raise BadEvery(every) from None
    if length < timedelta(days=1) or length % timedelta(days=1):
        raise BadEvery(every)
    return length


def _name(calendar: PartitionCalendar, start: datetime, end: datetime, every: str) -> str:
    first, last = calendar.local(start), calendar.local(end) - timedelta(seconds=1)
    if every == MONTH and first.day == 1:
        return f"{first:%Y-%m}"
    return f"{first:%Y-%m-%d}" if first.date() == last.date() else f"{first:%Y-%m-%d}..{last:%Y-%m-%d}"
