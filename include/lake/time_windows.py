"""How a read of many partitions is cut into windows of time, each read by one query of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from include.lake.raw_rows import partition_label
from include.spec.partitions import Partition, PartitionCalendar

Clock = Literal["local", "instant", "text"]
"""How a source keeps the event time: on a clock (the source's local time), as instants, or as text on a clock."""
_WINDOWS_AT_LEAST: Final = 16
"""Into how many windows a read of many partitions is cut, if nothing else is said."""


@dataclass(frozen=True)
class Span:
    """A partition's time as its source's clock bounds it: naive local time, or for instants with an offset."""

    key: str
    low: datetime
    high: datetime


@dataclass(frozen=True)
class Window:
    """What one query reads: ``low <= event time < high``.

    :param keys: the partitions that have a part in it, oldest first.
    """

    low: datetime
    high: datetime
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for it, fit for a file."""
        return f"{self.low:%Y%m%dT%H%M%S%f%z}-{self.high:%Y%m%dT%H%M%S%f%z}".replace("+", "e").replace(":", "")


def span_of(partition: Partition, calendar: PartitionCalendar, clock: Clock) -> Span | None:
    """A partition's bounds; None if its rows cannot be told from those of the hour before.

    That is so for the second of the two equal hours when a clock goes back, where times are kept without a zone: all
    rows of both hours belong to the first.
    """
    if clock == "instant":
        return Span(partition.key, partition.start, partition.end)
    if partition.key.endswith("+1"):
        return None
    low = partition_label(partition.key)
    if calendar.size == "hour":
        return Span(partition.key, low, low + timedelta(hours=1))
    following = low + timedelta(days=1 if calendar.size == "day" else 32)
    return Span(partition.key, low, following if calendar.size == "day" else following.replace(day=1))


def cut(spans: Sequence[Span], chunk: timedelta | None) -> list[Window]:
    """The windows that cover these partitions and nothing between them.

    :param spans: in order of time.
    :param chunk: length of a window; None: whole partitions, in some sixteen windows if there are many.
    """
    together = max(1, len(spans) // _WINDOWS_AT_LEAST)
    return [window for run in _runs(spans) for window in (_chunks(run, chunk) if chunk else _groups(run, together))]


def _runs(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Partitions that follow each other without a gap."""
    run: list[Span] = []
    for span in spans:
        if run and run[-1].high != span.low:
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _groups(run: Sequence[Span], together: int) -> Iterator[Window]:
    for first in range(0, len(run), together):
        group = run[first : first + together]
        yield Window(group[0].low, group[-1].high, tuple(span.key for span in group))


def _chunks(run: Sequence[Span], chunk: timedelta) -> Iterator[Window]:
    low, last = run[0].low, run[-1].high
    first = 0
    while low < last:
        high = min(low + chunk, last)
        while run[first].high <= low:
            first += 1
        keys = []
        for span in run[first:]:
            if span.low >= high:
                break
            keys.append(span.key)
        yield Window(low, high, tuple(keys))
        low = high
