"""The ``delta`` source: reads partitions from a Delta table, all at one version, and stages them as raw rows.

Only files that may hold rows of the partitions are opened, and of these the declared columns. As in a database, a
partition is there when it is due and has a row, and unchanged when its rows are: a table that was only compacted has
the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb

from include.lake.connections import open_duckdb, quote_name
from include.lake.conversion import Conversion, conversion
from include.lake.delta_rows import ROWS, DeltaRows
from include.lake.delta_snapshot import DeltaFile, DeltaSnapshot
from include.lake.faults import FILE_FAULTS, cause, is_ours
from include.lake.outcomes import refused
from include.lake.row_staging import RowStaging, is_due, late, untold, without_rows
from include.lake.source_files import SourceFile
from include.lake.staging import StagedPartition
from include.lake.structure import count_faults
from include.lake.table import PartitionRecord
from include.lake.time_windows import Span, span_of
from include.lake.window_rows import WindowScan
from include.lake.writer import GROUP
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar

_BYTES_AT_ONCE: Final = 256 << 20
_MEMORY: Final = "1GiB"
_log = logging.getLogger(__name__)


def open_rows(settings: Settings, definition: Definition) -> DeltaRows:
    """The source's table at its newest version.

    :raises NoSuchDeltaTable: if there is none.
    :raises DeltaTableUnreadable: if it cannot be read as it is.
    :raises DeltaColumnUnfit: if it lacks a column, or its event time is no time.
    """
    source = definition.source
    return DeltaRows(settings, definition, DeltaSnapshot(settings, definition, ("source", "path"), source.path))


def absent_rows(settings: Settings, definition: Definition, keys: Sequence[str]) -> list[str]:
    """Those of the partitions that are not due, or have no row."""
    rows = open_rows(settings, definition)
    if not definition.source.has_time:
        return [] if rows.has_row(None) else list(keys)
    calendar = PartitionCalendar.of(definition)
    found = []
    for key in keys:
        partition = calendar.from_key(key)
        span = span_of(partition, calendar, rows.clock)
        if span is None or not is_due(definition, partition) or not rows.has_row(span):
            found.append(key)
    return found


class DeltaSource:
    """Stages raw partitions of one model for one attempt.

    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    :raises NoSuchDeltaTable: if there is no table.
    :raises DeltaTableUnreadable: if it cannot be read as it is.
    :raises DeltaColumnUnfit: if it lacks a column, or its event time is no time.
    """

    def __init__(self, settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> None:
        self._settings = settings
        self._definition = definition
        self._calendar = PartitionCalendar.of(definition)
        self._rows = open_rows(settings, definition)
        self._label = self._rows.snapshot.label
        self._staging = RowStaging(settings, definition, attempt, suite_digest, thing="data in the table")
        self._file = SourceFile(path=Path(), shown=self._label, format="parquet", columns=())

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions, of one version of the table; each is judged alone.

        :param published: the raw table's partitions; one with the same rows is ``unchanged``.
        :param force: stage them all the same.
        :raises DeltaFileGone: if the version lost a file while it was read.
        """
        known = {} if force else published
        _log.info("reading %s", self._label)
        if self._definition.source.has_time:
            results = self._stage_by_time(keys, known)
        else:
            results = [self._stage_whole(key, known) for key in keys]
        return [replace(one, origins=(self._label,)) for one in results]

    def _stage_by_time(self, keys: Sequence[str], known: Mapping[str, PartitionRecord]) -> list[StagedPartition]:
        partitions = sorted(self._calendar.from_key(key) for key in keys)
        due = [partition for partition in partitions if is_due(self._definition, partition)]
        results = [late(self._definition, partition, self._label) for partition in partitions if partition not in due]
        found = {partition.key: span_of(partition, self._calendar, self._rows.clock) for partition in due}
        results += [untold(self._definition, key, self._label) for key, span in found.items() if span is None]
        for batch in _batches(self._rows, [span for span in found.values() if span is not None]):
            results += self._stage_batch(batch, known)
        return results

    def _stage_batch(self, spans: Sequence[Span], known: Mapping[str, PartitionRecord]) -> list[StagedPartition]:
        """The partitions of some spans; if that fails each alone, so that only the broken one is refused."""
        files = list(dict.fromkeys(file for span in spans for file in self._rows.files(span)))
        connection = self._connect(files)
        try:
            read = self._conversions(connection)
            table = self._rows.table(spans, list(self._definition.source.columns))
            by_key = {span.key: span for span in spans}
            scan = WindowScan(self._definition, connection, table, self._file, read, by_key, self._rows.instant)
            counts = count_faults(connection, scan.of(list(by_key)), read, self._definition)
            return self._staging.judge(scan, counts, list(by_key), known)
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            if len(spans) == 1:
                return [self._unreadable(spans[0].key, error)]
        finally:
            connection.close()
        return [result for span in spans for result in self._stage_batch([span], known)]

    def _stage_whole(self, key: str, known: Mapping[str, PartitionRecord]) -> StagedPartition:
        if not self._rows.has_row(None):
            return without_rows(key, self._label)
        connection = self._connect(self._rows.files(None))
        try:
            read = self._conversions(connection)
            table = self._rows.table([], list(self._definition.source.columns))
            relation = f"(SELECT *, 0 AS {GROUP}, NULL AS _label FROM {table})"  # nosec B608 # names are quoted
            return self._staging.judge_one(connection, relation, self._file, read, key, known.get(key))
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            return self._unreadable(key, error)
        finally:
            connection.close()

    def _connect(self, files: Sequence[DeltaFile]) -> duckdb.DuckDBPyConnection:
        threads = self._definition.training.resources.cpu
        connection = open_duckdb(self._settings, threads=threads, memory=_MEMORY)
        self._rows.snapshot.register(connection, ROWS, files)
        return connection

    def _conversions(self, connection: duckdb.DuckDBPyConnection) -> list[Conversion]:
        source = self._definition.source
        columns = ", ".join(quote_name(name) for name in source.columns)
        described = connection.execute(f"DESCRIBE SELECT {columns} FROM {ROWS}").fetchall()  # nosec B608
        kinds = {row[0]: row[1] for row in described}
        return [conversion(name, kind, kinds[name], source.time_zone) for name, kind in source.columns.items()]

    def _unreadable(self, key: str, error: Exception) -> StagedPartition:
        cure = "Restore its files, or correct source.filter, and ingest the partition again."
        return refused(key, self._label, f"{self._label} cannot be read: {cause(error)}. {cure}")


def _batches(rows: DeltaRows, spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Partitions that are read together: as many as not too many bytes, or the same files, hold."""
    batch: list[Span] = []
    together: set[DeltaFile] = set()
    for span in spans:
        own = set(rows.files(span))
        if batch and own - together and sum(file.size for file in own | together) > _BYTES_AT_ONCE:
            yield batch
            batch, together = [], set()
        batch.append(span)
        together |= own
    if batch:
        yield batch
