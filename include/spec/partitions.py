"""How a source's time is cut into partitions: hours, days or months of its own time zone.

A partition is every instant whose local clock shows its hour, day or month, so a day may last 23 or 25 hours. Where
the clock goes back over midnight, a day begins when its date is first reached. Data without time is one partition, the
whole (:class:`WholeCalendar`): nothing else has to ask whether there is a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from include.errors import Refused
from include.spec.definition import Definition, PartitionSize

MOST_PARTITIONS: Final = 100_000
WHOLE_KEY: Final = "all"
#: Characters of a partition's key that name its day: hours of one day share their luck.
DAY_OF_KEY: Final = len("2013-10-01")
"""Key of the one partition of data without time."""
BEGINNING: Final = datetime(1900, 1, 1, tzinfo=UTC)
"""Where that partition begins."""

_KEY_FORMS: Final[dict[PartitionSize, tuple[re.Pattern[str], str]]] = {
    "hour": (re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2})(\+1)?"), "2013-10-01T05"),
    "day": (re.compile(r"(\d{4})-(\d{2})-(\d{2})"), "2013-10-01"),
    "month": (re.compile(r"(\d{4})-(\d{2})"), "2013-10"),
}
_LENGTHS: Final[dict[PartitionSize, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=30),
}
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)


class PartitionError(Refused):
    """A partition key or range that does not exist.

    :param key: what was asked for.
    """

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"{key!r} is no partition: {problem}")


@dataclass(frozen=True, order=True)
class Partition:
    """One piece of a source's time: ``start <= instant < end``; ``key`` names it.

    Both ends carry the offset that the source's clock has then (a fixed one: Python compares instants that share a
    ``ZoneInfo`` by their clock, which goes wrong in the hour that a clock shows twice).
    """

    start: datetime
    end: datetime
    key: str


@dataclass(frozen=True)
class PartitionCalendar:
    """The partitions of one source.

    :param size: hour, day or month.
    :param zone: the time zone in which they are cut.
    :param starts: first day with data.
    :param ends: last day with data, of an archive.
    """

    size: PartitionSize
    zone: ZoneInfo
    starts: date
    ends: date | None

    @classmethod
    def of(cls, definition: Definition) -> PartitionCalendar:
        """The calendar of a definition's source."""
        source = definition.source
        if not source.has_time or source.starts is None:
            return WholeCalendar("day", ZoneInfo(source.time_zone), BEGINNING.date(), None)
        return cls(source.partition, ZoneInfo(source.time_zone), source.starts, source.ends)

    @property
    def first(self) -> Partition:
        """The partition with which the data begins."""
        return self.containing(self.instant(datetime.combine(self.starts, time())))

    @property
    def end_of_data(self) -> datetime | None:
        """The instant at which an archive ends (the end of its last partition); ``None`` if data keeps coming."""
        if self.ends is None:
            return None
        after = self.instant(datetime.combine(self.ends + timedelta(days=1), time()))
        return self.containing(after - _SECOND).end

    def local(self, instant: datetime) -> datetime:
        """What the source's clock shows at an instant, as a naive datetime (the form of its timestamp columns)."""
        _require_zone(instant)
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def instant(self, local: datetime) -> datetime:
        """The first instant at which the source's clock shows ``local`` (naive) or, if it skips that, later."""
        aware = local.replace(tzinfo=self.zone, fold=0)
        guess = aware.astimezone(UTC)
        if self.local(guess) != local.replace(fold=0):
            lower = aware.replace(fold=1).astimezone(UTC) - _SECOND
            guess = _earliest(lambda moment: self.local(moment) >= local, lower, guess)
        return self.stamp(guess)

    def stamp(self, instant: datetime) -> datetime:
        """The same instant with the offset that the source's clock has then."""
        local = instant.astimezone(self.zone)
        offset = local.utcoffset() or timedelta(0)
        return local.replace(tzinfo=timezone(offset), fold=0)

    def containing(self, instant: datetime) -> Partition:
        """The partition that an instant belongs to."""
        _require_zone(instant)
        if self.size == "hour":
            return self._hour_containing(instant.astimezone(UTC))
        day = instant.astimezone(self.zone).date()
        partition = self._dated(day)
        while instant >= partition.end:  # the clock went back over midnight: that day had already ended
            partition = self._dated(partition.end.astimezone(self.zone).date())
        return partition

    def from_key(self, key: str) -> Partition:
        """Read a key such as ``2013-10-01`` (day), ``2013-10`` (month), ``2013-10-01T05`` (hour).

        :raises PartitionError: if it is malformed, or the source's clock never shows that hour or day.
        """
        pattern, example = _KEY_FORMS[self.size]
        match = pattern.fullmatch(key) if isinstance(key, str) and key.isascii() else None
        if match is None:
            raise PartitionError(str(key)[:80], f"a key for a partition of size {self.size} looks like {example}.")
        try:
            numbers = [int(group) for group in match.groups() if group and group != "+1"]
            local = datetime(*(numbers if self.size != "month" else [*numbers, 1]))  # type: ignore[arg-type]  # noqa: DTZ001
            partition = self._at(local, second=key.endswith("+1"))
        except (ValueError, OverflowError):
            raise PartitionError(key, "there is no such date.") from None
        if partition is None or partition.key != key or partition.start >= partition.end:
            raise PartitionError(key, f"the clock in {self.zone.key} never shows it.")
        return partition

    def last_complete(self, as_of: datetime) -> Partition:
        """The newest partition with data that had ended by ``as_of``.

        :raises PartitionError: if none had.
        """
        limit = self.end_of_data
        moment = min(as_of, limit) if limit else as_of
        start = self.containing(moment).start
        if start <= self.first.start:
            raise PartitionError(
                as_of.isoformat(), f"by then no partition was complete; the data starts with {self.first.key}."
            )
        return self.before(start)

    def before(self, instant: datetime) -> Partition:
        """The partition that ends with the start of the one that contains ``instant``."""
        return self.containing(self.containing(instant).start - timedelta(microseconds=1))

    def range(self, first_key: str, last_key: str) -> list[Partition]:
        """All partitions from the first key through the last.

        :raises PartitionError: if a key is none, or the last lies before the first, or the range is absurdly long.
        """
        first, last = self.from_key(first_key), self.from_key(last_key)
        if last.start < first.start:
            raise PartitionError(f"{first_key}..{last_key}", "the last partition lies before the first; swap them.")
        return self.covering(first.start, last.end)

    def due(self, key: str, as_of: datetime) -> datetime:  # noqa: ARG002 - the whole is due at as_of
        """When a partition was complete: at its end, whatever the instant of the run that wants it.

        :raises PartitionError: if the key is none.
        """
        return self.from_key(key).end

    def covering(self, start: datetime, end: datetime) -> list[Partition]:
        """All partitions that overlap ``start <= instant < end``, oldest first."""
        _require_zone(start)
        _require_zone(end)
        if end - start > MOST_PARTITIONS * _LENGTHS[self.size]:
            span = f"{start.isoformat()}..{end.isoformat()}"
            raise PartitionError(span, f"these are more than {MOST_PARTITIONS} partitions; take a shorter range.")
        return list(self._from(start, end)) if start < end else []

    def _from(self, start: datetime, end: datetime) -> Iterator[Partition]:
        partition = self.containing(start)
        while partition.end < end:
            yield partition
            partition = self.containing(partition.end)
        yield partition

    def _at(self, local: datetime, *, second: bool) -> Partition | None:
        if self.size != "hour":
            return self._dated(local.date())
        for minute in (0, 15, 30, 45):
            moment = local.replace(minute=minute, fold=int(second), tzinfo=self.zone).astimezone(UTC)
            if self._hour_label(moment) == (local, int(second)):
                return self._hour_containing(moment)
        return None

    def _dated(self, day: date) -> Partition:
        if self.size == "month":
            day = day.replace(day=1)
            following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
            key = day.isoformat()[:7]
        else:
            following = day + timedelta(days=1)
            key = day.isoformat()
        start, end = (self.instant(datetime.combine(one, time())) for one in (day, following))
        return Partition(start=start, end=end, key=key)

    def _hour_label(self, instant: datetime) -> tuple[datetime, int]:
        local = instant.astimezone(self.zone)
        return local.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0), local.fold

    def _hour_containing(self, instant: datetime) -> Partition:
        label = self._hour_label(instant)
        local = instant.astimezone(self.zone)
        start = instant - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        if self._hour_label(start) != label or self._hour_label(start - _SECOND) == label:
            whole = instant.replace(microsecond=0)
            start = _earliest(lambda x: self._hour_label(x) == label, whole - 2 * _HOUR, whole)
        end = start + _HOUR
        if self._hour_label(end) == label or self._hour_label(end - _SECOND) != label:
            end = _earliest(lambda x: self._hour_label(x) != label, start, start + 3 * _HOUR)
        key = label[0].strftime("%Y-%m-%dT%H") + ("+1" if label[1] else "")
        return Partition(start=self.stamp(start), end=self.stamp(end), key=key)


@dataclass(frozen=True)
class WholeCalendar(PartitionCalendar):
    """The one partition of data without time. It is always complete; as of an instant it ends at that instant."""

    @property
    def first(self) -> Partition:
        """The whole, before anything was delivered."""
        return self.from_key(WHOLE_KEY)

    def containing(self, instant: datetime) -> Partition:
        """The whole as of an instant."""
        _require_zone(instant)
        return Partition(start=BEGINNING, end=max(self.stamp(instant), BEGINNING), key=WHOLE_KEY)

    def from_key(self, key: str) -> Partition:
        """Read the key ``all``.

        :raises PartitionError: if it is another.
        """
        if key != WHOLE_KEY:
            raise PartitionError(str(key)[:80], f"this data has no time; its only partition is {WHOLE_KEY}.")
        return Partition(start=BEGINNING, end=BEGINNING, key=WHOLE_KEY)

    def last_complete(self, as_of: datetime) -> Partition:
        """The whole as of an instant."""
        return self.containing(as_of)

    def before(self, instant: datetime) -> Partition:
        """The whole: there is no other."""
        return self.containing(instant)

    def range(self, first_key: str, last_key: str) -> list[Partition]:
        """The whole, which both keys must name.

        :raises PartitionError: if one does not.
        """
        return [self.from_key(key) for key in dict.fromkeys((first_key, last_key))]

    def due(self, key: str, as_of: datetime) -> datetime:
        """The run's own instant."""
        self.from_key(key)
        return as_of

    def covering(self, start: datetime, end: datetime) -> list[Partition]:
        """The whole as of the end, if anything is asked for."""
        _require_zone(start)
        return [self.containing(end)] if start < end else []


def _earliest(holds: Callable[[datetime], bool], lower: datetime, upper: datetime) -> datetime:
    """The first whole second after ``lower`` at which ``holds``, which turns from false to true once by ``upper``."""
    while upper - lower > _SECOND:
        middle = lower + timedelta(seconds=int((upper - lower).total_seconds()) // 2)
        lower, upper = (lower, middle) if holds(middle) else (middle, upper)
    return upper


def _require_zone(instant: datetime) -> None:
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; an instant needs one")
