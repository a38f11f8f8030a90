"""The ``files`` source: reads partitions from Parquet or CSV files and stages them as raw rows.

Files of equal columns are read together, some dozens in one scan, so that a year of small daily files takes seconds;
if a scan fails, each of its files is read alone, so that only the broken one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import duckdb

from include.lake.columns import arrow_schema, raw_columns
from include.lake.connections import open_duckdb, quote_text
from include.lake.conversion import Conversion
from include.lake.digests import file_checksum
from include.lake.faults import FILE_FAULTS, cause, file_stamp, is_ours
from include.lake.outcomes import missing, refused, staged, unchanged
from include.lake.paths import from_store
from include.lake.raw_rows import partition_label, raw_inputs, register_groups, write_sorted
from include.lake.source_files import (
    FILE_NAME,
    SourceFile,
    UnreadableFile,
    file_format,
    inspect_file,
    is_file_per_partition,
    partition_source,
    scan_sql,
)
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.structure import column_notes, column_problem, conversions, count_faults, fault_problem
from include.lake.table import PartitionRecord
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.memory import duckdb_memory
from include.spec.partitions import WHOLE_KEY

_FILES_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 64 << 20  # compressed; sorted, they take some times as much


@dataclass(frozen=True, kw_only=True)
class _Arrival:
    """A partition whose file is there and readable so far."""

    key: str
    file: SourceFile
    inputs: str
    stamp: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.stamp[0]


class FilesSource:
    """Stages raw partitions of one model for one attempt.

    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    """

    def __init__(self, settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> None:
        self.settings = settings
        self.definition = definition
        self._suite_digest = suite_digest
        self._columns = raw_columns(definition.model, definition.source.columns)
        self._writer = StagingWriter(settings, definition.model, "raw", attempt, arrow_schema(self._columns))
        self._form = file_format(definition)
        self._store = store_of(settings)

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions; each is judged alone.

        :param published: the raw table's partitions; one made from the same inputs is ``unchanged``.
        :param force: stage them all the same.
        """
        known = {} if force else published
        if is_file_per_partition(self.definition) or not self.definition.source.has_time:
            return self._stage_files(keys, known)
        return self._stage_cut(keys, known)

    def _connect(self, *paths: Path) -> duckdb.DuckDBPyConnection:
        folder = Path(self.definition.source.path.split("{partition}")[0].replace("{store}", str(self.settings.store)))
        # A partition may be a link: DuckDB asks for leave to read what it points to.
        folders = {folder for path in paths for folder in (path.parent, path.resolve().parent)}
        readable = {folder if folder.is_dir() else folder.parent} | folders
        resources = self.definition.training.resources
        memory = duckdb_memory(self.definition, "ingest")
        return open_duckdb(self.settings, threads=resources.cpu, memory=memory, readable=sorted(readable))

    def _inputs(self, content: str) -> str:
        return raw_inputs(self.definition, content, self._suite_digest)

    # --- a file for each partition, or for the whole of data without time -----------------------------------

    def _stage_files(self, keys: Sequence[str], known: Mapping[str, PartitionRecord]) -> list[StagedPartition]:
        results: list[StagedPartition] = []
        arrivals: list[_Arrival] = []
        self._store.fetch(*(partition_source(self.settings, self.definition, key) for key in keys))
        for key in keys:
            arrived = self._arrival(key, known)
            if isinstance(arrived, _Arrival):
                arrivals.append(arrived)
            else:
                results.append(arrived)
        for batch in _batches(arrivals):
            results += self._stage_batch(batch)
        return results

    def _arrival(self, key: str, known: Mapping[str, PartitionRecord]) -> StagedPartition | _Arrival:
        path = partition_source(self.settings, self.definition, key)
        shown = self._store.shown(path)
        if not path.is_file():
            return missing(key, shown, is_there=False)
        stamp = file_stamp(path)
        inputs = self._inputs(file_checksum(path))
        record = known.get(key)
        if record is not None and record.inputs == inputs:
            return unchanged(record, shown)
        try:
            file = inspect_file(path, self._form, shown)
        except UnreadableFile as error:
            return refused(key, shown, f"{shown} {error}. Deliver it again and ingest the partition again.", inputs)
        problem = column_problem(file, self.definition)
        if problem:
            return refused(key, shown, problem, inputs)
        return _Arrival(key=key, file=file, inputs=inputs, stamp=stamp)

    def _stage_batch(self, batch: Sequence[_Arrival]) -> list[StagedPartition]:
        connection = self._connect(*(arrival.file.path for arrival in batch))
        try:
            return self._load(connection, batch)
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            if len(batch) == 1:
                shown = batch[0].file.shown
                problem = f"{shown} cannot be read: {cause(error)}. Deliver it again and ingest the partition again."
                return [refused(batch[0].key, shown, problem, batch[0].inputs)]
        finally:
            connection.close()
        return [result for arrival in batch for result in self._stage_batch([arrival])]

    def _load(self, connection: duckdb.DuckDBPyConnection, batch: Sequence[_Arrival]) -> list[StagedPartition]:
        read = conversions(connection, batch[0].file, self.definition)
        _register_files(connection, batch)
        counts = count_faults(connection, _relation(batch), read, self.definition)
        bad: list[StagedPartition] = []
        good: list[_Arrival] = []
        for index, arrival in enumerate(batch):
            problem = None
            if index in counts:
                problem = fault_problem(
                    connection, arrival.file, _relation([arrival]), read, self.definition, counts[index]
                )
            if problem:
                bad.append(refused(arrival.key, arrival.file.shown, problem, arrival.inputs))
            else:
                good.append(arrival)
        return bad + (self._write_files(connection, good, read) if good else [])

    def _write_files(
        self, connection: duckdb.DuckDBPyConnection, batch: Sequence[_Arrival], read: Sequence[Conversion]
    ) -> list[StagedPartition]:
        _register_files(connection, batch)
        written = self._write(connection, _relation(batch), read, [arrival.key for arrival in batch])
        return [self._file_result(arrival, written[arrival.key]) for arrival in batch]

    def _file_result(self, arrival: _Arrival, written: WrittenPartition) -> StagedPartition:
        file = arrival.file
        if file_stamp(file.path) != arrival.stamp:
            problem = f"{file.shown} was changed while it was read. Ingest the partition again when it is complete."
            return refused(arrival.key, file.shown, problem, arrival.inputs)
        return staged(arrival.key, file, arrival.inputs, written, column_notes(file, self.definition))

    def _write(
        self, connection: duckdb.DuckDBPyConnection, relation: str, read: Sequence[Conversion], keys: Sequence[str]
    ) -> dict[str, WrittenPartition]:
        return write_sorted(connection, self._writer, self.definition, relation, read, keys)

    # --- one file, cut by its event time -----------------------------------------------------------------------

    def _stage_cut(self, keys: Sequence[str], known: Mapping[str, PartitionRecord]) -> list[StagedPartition]:
        path = partition_source(self.settings, self.definition, keys[0])
        shown = self._store.shown(path)
        self._store.fetch(path)
        if not path.is_file():
            return [missing(key, shown, is_there=False) for key in keys]
        try:
            file = inspect_file(path, self._form, shown)
        except UnreadableFile as error:
            return [refused(key, shown, f"{shown} {error}. Deliver it again and ingest again.") for key in keys]
        problem = column_problem(file, self.definition)
        if problem:
            return [refused(key, shown, problem) for key in keys]
        connection = self._connect(path)
        try:
            return self._cut(connection, file, keys, known)
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            problem = f"{shown} cannot be read: {cause(error)}. Deliver it again and ingest again."
            return [refused(key, shown, problem) for key in keys]
        finally:
            connection.close()

    def _cut(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: SourceFile,
        keys: Sequence[str],
        known: Mapping[str, PartitionRecord],
    ) -> list[StagedPartition]:
        read = conversions(connection, file, self.definition)
        time = next(item.value for item in read if item.name == self.definition.source.event_time)
        label = f"date_trunc({quote_text(self.definition.source.partition)}, {time})"
        whole = f"(SELECT *, 0 AS {GROUP}, {label} AS _label FROM {scan_sql([file])})"  # nosec B608
        total = connection.execute(f"SELECT count(*) - count(_label), max(_label) FROM {whole}").fetchall()  # nosec B608
        without_time, newest = total[0]
        if without_time:
            counts = count_faults(connection, whole, read, self.definition)[0]
            problem = fault_problem(connection, file, whole, read, self.definition, counts) or ""
            return [refused(key, file.shown, problem) for key in keys]
        labels = {key: partition_label(key) for key in keys if newest is not None and partition_label(key) <= newest}
        late = [missing(key, file.shown, is_there=True, newest=newest) for key in keys if key not in labels]
        return late + (self._stage_labels(connection, file, read, label, labels, known) if labels else [])

    def _stage_labels(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: SourceFile,
        read: Sequence[Conversion],
        label: str,
        labels: Mapping[str, datetime],
        known: Mapping[str, PartitionRecord],
    ) -> list[StagedPartition]:
        def relation(chosen: Sequence[str]) -> str:
            register_groups(connection, {GROUP: list(range(len(chosen))), "_label": [labels[key] for key in chosen]})
            return f"(SELECT s.*, g.{GROUP}, g._label FROM {scan_sql([file])} s JOIN groups g ON g._label = {label})"  # nosec B608

        keys = list(labels)
        counts = count_faults(connection, relation(keys), read, self.definition)
        problems = {
            keys[i]: fault_problem(connection, file, relation([keys[i]]), read, self.definition, one)
            for i, one in counts.items()
            if one.bad
        }
        bad = [refused(key, file.shown, problem or "") for key, problem in problems.items()]
        good = [key for key in keys if key not in problems]
        written = self._write(connection, relation(good), read, good) if good else {}
        return bad + [self._cut_result(key, file, written[key], known.get(key)) for key in good]

    def _cut_result(
        self, key: str, file: SourceFile, written: WrittenPartition, record: PartitionRecord | None
    ) -> StagedPartition:
        inputs = self._inputs(written.digest)
        if record is not None and record.inputs == inputs:
            self._store.remove(from_store(self.settings, written.path))
            return unchanged(record, file.shown)
        return staged(key, file, inputs, written, column_notes(file, self.definition))


def _batches(arrivals: Iterable[_Arrival]) -> Iterable[list[_Arrival]]:
    """Arrivals with equal columns together, some dozens and not too many bytes at once."""
    for _, same in groupby(sorted(arrivals, key=lambda a: (a.file.columns, a.key)), key=lambda a: a.file.columns):
        batch: list[_Arrival] = []
        for arrival in same:
            if batch and (len(batch) == _FILES_AT_ONCE or sum(a.size for a in batch) + arrival.size > _BYTES_AT_ONCE):
                yield batch
                batch = []
            batch.append(arrival)
        yield batch


def _register_files(connection: duckdb.DuckDBPyConnection, batch: Sequence[_Arrival]) -> None:
    register_groups(
        connection,
        {
            GROUP: list(range(len(batch))),
            "_label": [None if arrival.key == WHOLE_KEY else partition_label(arrival.key) for arrival in batch],
            "_path": [str(arrival.file.path) for arrival in batch],
        },
    )


def _relation(batch: Sequence[_Arrival]) -> str:
    scan = scan_sql([arrival.file for arrival in batch])
    return f"(SELECT s.*, g.{GROUP}, g._label FROM {scan} s JOIN groups g ON s.{FILE_NAME} = g._path)"  # nosec B608
