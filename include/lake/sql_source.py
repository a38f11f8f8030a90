"""The ``sql`` source: reads partitions from a database and stages them as raw rows.

Windows of the event time are extracted to files (:mod:`include.lake.sql_extract`), which then go the way of delivered
files: the same conversions, faults and digests. Nothing like a file's checksum exists here, so whether a partition is
unchanged is decided by its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import duckdb

from include.errors import Refused
from include.lake.columns import arrow_schema, raw_columns
from include.lake.connections import open_duckdb, quote_name, quote_text
from include.lake.conversion import Conversion
from include.lake.outcomes import absent, refused, staged, unchanged
from include.lake.paths import from_store
from include.lake.raw_rows import partition_label, raw_inputs, register_groups, write_sorted
from include.lake.source_files import SourceFile, scan_sql
from include.lake.sql_extract import Extract, SqlReader
from include.lake.sql_statement import Clock
from include.lake.sql_windows import Span, cut, span_of
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.structure import Counts, conversions, count_faults, fault_problem
from include.lake.table import PartitionRecord
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import Partition, PartitionCalendar

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
        self._suite_digest = suite_digest
        self._columns = raw_columns(definition.model, definition.source.columns)
        self._writer = StagingWriter(settings, definition.model, "raw", attempt, arrow_schema(self._columns))
        self._calendar = PartitionCalendar.of(definition)
        self._reader = SqlReader(settings, definition)
        self._store = store_of(settings)

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions; each is judged alone.

        :param published: the raw table's partitions; one with the same rows is ``unchanged``.
        :param force: read and stage them all the same.
        :raises SourceAway: if the database was lost; a later attempt goes on from there.
        :raises SourceBroken: if it refuses login or query.
        """
        partitions = sorted(self._calendar.from_key(key) for key in keys)
        due = [partition for partition in partitions if is_due(self.definition, partition)]
        late = [self._late(partition) for partition in partitions if partition not in due]
        if not due:
            return late
        form = self._reader.time_form()
        spans = {partition.key: span_of(partition, self._calendar, form.clock) for partition in due}
        windows = cut([span for span in spans.values() if span is not None], self.definition.source.chunk)
        extracts = self._reader.extract(form, windows, fresh=force)
        results = [self._untold(key) for key, span in spans.items() if span is None]
        for batch in _batches(extracts):
            results += self._stage_batch(batch, spans, form.clock, {} if force else published)
        self._reader.forget()
        return late + results

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
            scan = _Scan(self.definition, connection, files, read, spans, clock)
            return self._judge(scan, keys, known)
        finally:
            connection.close()

    def _judge(self, scan: _Scan, keys: Sequence[str], known: Mapping[str, PartitionRecord]) -> list[StagedPartition]:
        counts = count_faults(scan.connection, scan.of(keys), scan.read, self.definition)
        astray = scan.rows() - sum(one.rows for one in counts.values())
        if astray:
            raise RowsWithoutPartition(self._reader.shown, astray, self.definition.source.time_column)
        results: list[StagedPartition] = []
        good: list[str] = []
        for index, key in enumerate(keys):
            if index not in counts:
                results.append(self._without_rows(key))
            elif counts[index].bad:
                results.append(refused(key, self._reader.shown, scan.problem(key, counts[index])))
            else:
                good.append(key)
        if not good:
            return results
        written = write_sorted(scan.connection, self._writer, self.definition, scan.of(good), scan.read, good)
        return results + [self._result(key, scan.files[0], written[key], known.get(key)) for key in good]

    def _result(
        self, key: str, file: SourceFile, written: WrittenPartition, record: PartitionRecord | None
    ) -> StagedPartition:
        inputs = raw_inputs(self.definition, written.digest, self._suite_digest)
        if record is not None and record.inputs == inputs:
            self._store.remove(from_store(self.settings, written.path))
            return unchanged(record, file.shown)
        return staged(key, file, inputs, written, ())

    def _file(self, extract: Extract) -> SourceFile:
        columns = tuple((name, "text") for name in self.definition.source.columns)
        return SourceFile(path=extract.path, shown=self._reader.shown, format="csv", columns=columns)

    def _late(self, partition: Partition) -> StagedPartition:
        complete = partition.end + self.definition.source.arrives_after
        why = f"its rows are taken to be complete at {complete.isoformat()} (source.arrives_after)"
        return absent(partition.key, self._reader.shown, why)

    def _without_rows(self, key: str) -> StagedPartition:
        return absent(key, self._reader.shown, f"{self._reader.shown} has no row of it")

    def _untold(self, key: str) -> StagedPartition:
        why = (
            f"{self.definition.source.event_time} has no time zone, so its rows are those of the hour before; give the "
            "column a time zone in the database, or cut the partitions in UTC"
        )
        return absent(key, self._reader.shown, why)


class _Scan:
    """The rows of some extracted files, as table expressions by partition."""

    def __init__(
        self,
        definition: Definition,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[SourceFile],
        read: Sequence[Conversion],
        spans: Mapping[str, Span | None],
        clock: Clock,
    ) -> None:
        self.connection = connection
        self.files = files
        self.read = read
        self._definition = definition
        self._spans = spans
        self._clock = clock

    def rows(self) -> int:
        """Rows of all files."""
        counted = self.connection.execute(f"SELECT count(*) FROM {scan_sql(self.files)}").fetchall()  # noqa: S608
        return int(counted[0][0])

    def of(self, keys: Sequence[str]) -> str:
        """The rows of these partitions with ``_group``, an index into the keys, and ``_label``."""
        source = self._definition.source
        columns: dict[str, list[Any]] = {
            GROUP: list(range(len(keys))),
            "_label": [partition_label(key) for key in keys],
        }
        time = next(item.value for item in self.read if item.name == source.time_column)
        condition = f"g._label = date_trunc({quote_text(source.partition)}, {time})"
        if self._clock == "instant":  # where a clock goes back, two hours have one label
            spans = [span for key in keys if (span := self._spans[key]) is not None]
            columns |= {"_low": [span.low for span in spans], "_high": [span.high for span in spans]}
            instant = f"TRY_CAST(trim({quote_name(source.time_column)}) AS TIMESTAMP WITH TIME ZONE)"
            condition += f" AND {instant} >= g._low AND {instant} < g._high"
        register_groups(self.connection, columns)
        return f"(SELECT s.*, g.{GROUP}, g._label FROM {scan_sql(self.files)} s JOIN groups g ON {condition})"  # noqa: S608

    def problem(self, key: str, counts: Counts) -> str:
        """The sentence for a partition's faults."""
        relation = self.of([key])
        found = fault_problem(
            self.connection, self.files[0], relation, self.read, self._definition, counts, thing="data in the database"
        )
        return found or ""


def is_due(definition: Definition, partition: Partition) -> bool:
    """Whether a partition's rows are taken to be complete by now: it has ended, ``source.arrives_after`` ago."""
    return partition.end + definition.source.arrives_after <= datetime.now(UTC)


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
