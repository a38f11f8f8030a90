"""Reads segments for the compactor: what is new since the last look, for each model, without reading it twice.

What is committed is known to the Delta tables alone; the positions here only spare work, and a process that starts
anew reads the segments from their beginnings.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from include.serving.request_log import records, segments
from include.serving.request_log.batches import Logged, Record
from include.serving.request_log.records import Shape
from include.serving.request_log.segments import Segment
from include.serving.request_log.tables import LogTable

_AT_LEAST: Final = 8 * 1024 * 1024
_OF_A_MODEL: Final = 512 * 1024
_AT_MOST: Final = 128 * 1024 * 1024
"""Bytes of a pass. A commit to a model's tables costs as much as some hundred records, so with many models a pass takes
more, or it would bring next to nothing into each table."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record as its line has it: many of them are held, and few at a time are read.

    :param table: where it belongs.
    :param data: the line.
    """

    model: str
    table: LogTable
    segment: str
    end: int
    data: bytes
    shape: Shape | None

    def read(self) -> Logged:
        """The record with its place."""
        record = cast(Record, records.read(self.data))  # it could be read before
        return Logged(self.segment, self.end, record, self.shape)


Batch = dict[tuple[str, LogTable], list[Unread]]
"""New records by model and table, in the order in which they were written, segment by segment."""


@dataclass
class _Progress:
    """How far one segment is known.

    :param seen: end of what was read at least once.
    :param done: for each model in it, end of what is in the model's tables.
    """

    seen: int = 0
    done: dict[str, int] = field(default_factory=dict)
    shapes: dict[tuple[str, int], Shape] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Portion:
    """What one pass reads.

    :param records: new records by model and table.
    :param ends: for each segment, up to where it was read.
    :param more: whether the pass ended because it had read enough.
    """

    records: Batch
    ends: dict[str, int]
    more: bool


class Reader:
    """Follows the segments of a folder.

    :param folder: the log's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._progress: dict[str, _Progress] = {}
        self.damaged = 0
        """Lines that could not be read, and unfinished last lines of dead writers, since the process began."""

    def read(self, waiting: Collection[str] = ()) -> Portion:
        """What is new, at most some megabytes of it, or half a megabyte for each of many models.

        :param waiting: models whose records are left for later, because their tables cannot be written now.
        """
        batch: Batch = {}
        ends: dict[str, int] = {}
        spent = 0
        for segment in segments.list_segments(self._folder):
            known = self._progress.setdefault(segment.name, _Progress())
            start = min([known.seen, *(end for model, end in known.done.items() if model not in waiting)])
            is_enough = False
            end = start
            for place, found in self._records(segment, known, start):
                spent += place - end
                end = place
                if found is not None and found.model not in waiting and found.end > known.done[found.model]:
                    batch.setdefault((found.model, found.table), []).append(found)
                is_enough = spent >= min(_AT_MOST, max(_AT_LEAST, len(batch) * _OF_A_MODEL))
                if is_enough:
                    break
            known.seen = max(known.seen, end)
            ends[segment.name] = end
            if is_enough:
                return Portion(batch, ends, more=True)
        return Portion(batch, ends, more=False)

    def finished(self, portion: Portion, unfinished: Collection[str]) -> None:
        """What a pass has read is in the tables, except that of some models."""
        for name, end in portion.ends.items():
            known = self._progress[name]
            for model, done in known.done.items():
                if model not in unfinished:
                    known.done[model] = max(done, end)

    def remove_finished(self) -> int:
        """Remove the segments that are closed and whose records are all in tables; returns how many were."""
        removed = 0
        for found in segments.list_segments(self._folder):
            known = self._progress.get(found.name)
            segment = segments.adopt(found)
            if not segment.closed or known is None or any(end < known.seen for end in known.done.values()):
                continue
            with suppress(FileNotFoundError):
                torn = segment.path.stat().st_size - known.seen
                if torn and next(segments.read_lines(segment, known.seen), None) is not None:
                    continue
                self.damaged += bool(torn)
                segments.remove(segment, keep=bool(known.damaged))
                del self._progress[segment.name]
                removed += 1
        return removed

    def oldest_open_us(self) -> int | None:
        """When the oldest record that is in no table yet was written, microseconds since 1970; None if there is none.

        Only the first such record of each segment is looked at: a segment is written in the order of time.
        """
        oldest = None
        for segment in segments.list_segments(self._folder):
            known = self._progress.get(segment.name, _Progress())
            with suppress(FileNotFoundError):
                size = os.stat(segment.path).st_size
                done = min([known.seen, *known.done.values()])
                if size > done:
                    at = next(_instants(segment, done), None)
                    oldest = at if oldest is None or (at is not None and at < oldest) else oldest
        return oldest

    def _records(self, segment: Segment, known: _Progress, start: int) -> Iterator[tuple[int, Unread | None]]:
        """The ends of the lines, each with its record if it is one for a table."""
        for end, data in segments.read_lines(segment, start):
            record = records.read(data)
            shape = None if record is None or record["kind"] != records.SHAPE else Shape.read(record)
            if record is None:
                self.damaged += end not in known.damaged
                known.damaged.add(end)
                yield end, None
            elif shape is not None:
                known.shapes[shape.model, shape.version] = shape
                yield end, None
            else:
                model = record["model"]
                known.done.setdefault(model, start)
                shape_of = known.shapes.get((model, record.get("version", 0)))
                table: LogTable = "feedback" if record["kind"] == records.FEEDBACK else "inference"
                yield end, Unread(model, table, segment.name, end, data, shape_of)


def _instants(segment: Segment, offset: int) -> Iterator[int]:
    for _, data in segments.read_lines(segment, offset):
        record = records.read(data)
        # A shadow score carries the time of its request, which may have waited long for being scored.
        if record is not None and record["kind"] != records.SHADOW and isinstance(record.get("at"), int):
            yield record["at"]
