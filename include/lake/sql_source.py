"""The ``sql`` source: reads partitions from a database and stages them as raw rows.

Windows of the event time are extracted to files (:mod:`include.lake.sql_extract`), which then go the way of delivered
files: the same conversions, faults and digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from include.errors import Refused
from include.lake.connections import open_duckdb, quote_name
from include.lake.row_staging import RowStaging, is_due, late, untold
from include.lake.source_files import SourceFile, scan_sql
from include.lake.sql_extract import Extract, SqlReader
from include.lake.staging import StagedPartition
from include.lake.structure import conversions, count_faults
from include.lake.table import PartitionRecord
from include.lake.time_windows import Clock, Span, cut, span_of
from include.lake.window_rows import WindowScan
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar

_BYTES_AT_ONCE: Final = 256 << 20
_MEMORY: Final = "1GiB"


class RowsWithoutPartition(Refused):
    """The database gave rows that belong to none of the partitions that were asked for."""

    def __init__(self, shown: str, count: int, event_time: str) -> None:
        self.count = count
        super().__init__(
            f"{shown} gave {count} row(s) whose {event_time} cannot be read as a time, or lies in no partition that "
            "was asked for. Repair them, or make a timestamp of the column in a source.query."
        )


class SqlSource:
    """Stages raw partitions of one model for one attempt.

    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    """

    def __init__(self, settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> None:
        self.settings = settings
        self.definition = definition
        self._calendar = PartitionCalendar.of(definition)
        self._reader = SqlReader(settings, definition)
        self._staging = RowStaging(settings, definition, attempt, suite_digest, thing="data in the database")

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions; each is judged alone.

        :param published: the raw table's partitions; one with the same rows is ``unchanged``.
        :param force: read and stage them all the same.
        :raises SourceAway: if the database was lost; a later attempt goes on from there.
        :raises SourceBroken: if it refuses login or query.
        """
        shown = self._reader.shown
        partitions = sorted(self._calendar.from_key(key) for key in keys)
        due = [partition for partition in partitions if is_due(self.definition, partition)]
        waiting = [late(self.definition, partition, shown) for partition in partitions if partition not in due]
        if not due:
            return waiting
        form = self._reader.time_form()
        spans = {partition.key: span_of(partition, self._calendar, form.clock) for partition in due}
        windows = cut([span for span in spans.values() if span is not None], self.definition.source.chunk)
        extracts = self._reader.extract(form, windows, fresh=force)
        results = [untold(self.definition, key, shown) for key, span in spans.items() if span is None]
        for batch in _batches(extracts):
            results += self._stage_batch(batch, spans, form.clock, {} if force else published)
        self._reader.forget()
        return waiting + results

    def _stage_batch(
        self,
        batch: Sequence[Extract],
        spans: Mapping[str, Span | None],
        clock: Clock,
        known: Mapping[str, PartitionRecord],
    ) -> list[StagedPartition]:
        files = [self._file(extract) for extract in batch]
        keys = list(dict.fromkeys(key for extract in batch for key in extract.window.keys))
        folders = sorted({extract.path.parent for extract in batch})
        threads = self.definition.training.resources.cpu
        connection = open_duckdb(self.settings, threads=threads, memory=_MEMORY, readable=folders)
        try:
            read = conversions(connection, files[0], self.definition)
            instant = None
            if clock == "instant":
                column = quote_name(self.definition.source.time_column)
                instant = f"TRY_CAST(trim({column}) AS TIMESTAMP WITH TIME ZONE)"
            scan = WindowScan(self.definition, connection, scan_sql(files), files[0], read, spans, instant)
            return self._judge(scan, keys, known)
        finally:
            connection.close()

    def _judge(
        self, scan: WindowScan, keys: Sequence[str], known: Mapping[str, PartitionRecord]
    ) -> list[StagedPartition]:
        counts = count_faults(scan.connection, scan.of(keys), scan.read, self.definition)
        astray = scan.rows() - sum(one.rows for one in counts.values())
        if astray:
            raise RowsWithoutPartition(self._reader.shown, astray, self.definition.source.time_column)
        return self._staging.judge(scan, counts, keys, known)

    def _file(self, extract: Extract) -> SourceFile:
        columns = tuple((name, "text") for name in self.definition.source.columns)
        return SourceFile(path=extract.path, shown=self._reader.shown, format="csv", columns=columns)


def _batches(extracts: Sequence[Extract]) -> Iterator[list[Extract]]:
    """Extracts together that are staged together: not too many bytes, and no partition is torn apart."""
    batch: list[Extract] = []
    size = 0
    for extract in extracts:
        own = extract.path.stat().st_size
        torn = batch and batch[-1].window.keys[-1] == extract.window.keys[0]
        if batch and not torn and size + own > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(extract)
        size += own
    if batch:
        yield batch
