"""The driving table of a join: the rows of one partition, as they lie in the source, from files or a Delta table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb

from include.lake.connections import open_duckdb, quote_text
from include.lake.conversion import conversion
from include.lake.delta_rows import ROWS, DeltaRows
from include.lake.delta_snapshot import DeltaFile
from include.lake.delta_source import open_rows
from include.lake.faults import FILE_FAULTS, cause, is_ours
from include.lake.join_inputs import FilesInput, files_input
from include.lake.outcomes import missing, refused
from include.lake.raw_rows import partition_label
from include.lake.row_staging import is_due, late, untold, without_rows
from include.lake.source_files import UnreadableFile, file_format, is_file_per_partition, partition_source
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.time_windows import Span, span_of
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar


class DriverRows(Protocol):
    """The driving rows of a partition."""

    @property
    def shown(self) -> str:
        """How people know where they are."""

    @property
    def origin(self) -> str:
        """How lineage calls what was read."""

    @property
    def content(self) -> str | None:
        """Digest of what they are made from; None if only the rows themselves tell."""

    @property
    def folders(self) -> set[Path]:
        """The folders that DuckDB must be allowed to read."""

    def table(self, connection: duckdb.DuckDBPyConnection) -> str:
        """A table expression with the rows."""

    def changed(self) -> str | None:
        """The file that was written to since it was opened; None if none was."""


class Driver(Protocol):
    """Gives the driving rows of partitions."""

    def open(self, key: str) -> DriverRows | StagedPartition:
        """The rows of a partition; or what becomes of it, because they are not there or not readable."""


def open_driver(settings: Settings, definition: Definition) -> Driver:
    """The driving table that a definition names.

    :raises NoSuchDeltaTable: if it is a Delta table that is not there.
    :raises DeltaTableUnreadable: if it cannot be read as it is.
    :raises DeltaColumnUnfit: if its event time is no time.
    """
    if definition.source.type == "delta":
        return _DeltaDriver(definition, open_rows(settings, definition))
    return _FilesDriver(settings, definition)


# ---- files ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FileRows:
    """A partition's rows in a file.

    :param condition: which of the file's rows (SQL), if it is cut by the event time.
    """

    file: FilesInput
    condition: str | None

    @property
    def shown(self) -> str:
        return self.file.shown

    @property
    def origin(self) -> str:
        return self.file.origin

    @property
    def content(self) -> str | None:
        return self.file.content if self.condition is None else None

    @property
    def folders(self) -> set[Path]:
        return self.file.folders

    def table(self, connection: duckdb.DuckDBPyConnection) -> str:
        table = self.file.table(connection, "_driver")
        return table if self.condition is None else f"(SELECT * FROM {table} WHERE {self.condition})"  # nosec B608

    def changed(self) -> str | None:
        return self.file.changed()


@dataclass(frozen=True)
class _Cut:
    """A file that is cut by its event time.

    :param label: the start of a row's partition (SQL).
    :param newest: that of the newest row.
    """

    label: str
    newest: datetime | None


class _FilesDriver:
    """A file for each partition, or one that is cut, or one for the whole of data without time."""

    def __init__(self, settings: Settings, definition: Definition) -> None:
        self._settings = settings
        self._definition = definition
        self._store = store_of(settings)
        self._form = file_format(definition)
        self._is_cut = definition.source.has_time and not is_file_per_partition(definition)
        self._whole: tuple[FilesInput, _Cut | str] | None = None

    def open(self, key: str) -> DriverRows | StagedPartition:
        """See :class:`Driver`."""
        if not self._is_cut:
            found = self._file(key)
            return _FileRows(found, None) if isinstance(found, FilesInput) else found
        if self._whole is None:
            found = self._file(key)
            if not isinstance(found, FilesInput):
                return found
            self._whole = found, self._look(found)
        file, cut = self._whole
        if isinstance(cut, str):
            return refused(key, file.shown, cut)
        if cut.newest is None or partition_label(key) > cut.newest:
            return missing(key, file.shown, is_there=True, newest=cut.newest)
        return _FileRows(file, f"{cut.label} = TIMESTAMP {quote_text(str(partition_label(key)))}")

    def _file(self, key: str) -> FilesInput | StagedPartition:
        path = partition_source(self._settings, self._definition, key)
        shown = self._store.shown(path)
        self._store.fetch(path)
        if not path.is_file():
            return missing(key, shown, is_there=False)
        try:
            return files_input(self._store, [path], self._form, shown)
        except UnreadableFile as error:
            return refused(key, shown, f"{shown} {error}. Deliver it again and ingest the partition again.")

    def _look(self, found: FilesInput) -> _Cut | str:
        """How the file is cut, or the problem with that."""
        connection = open_duckdb(self._settings, readable=sorted(found.folders))
        try:
            return self._cut(connection, found)
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            return f"{found.shown} cannot be read: {cause(error)}. Deliver it again and ingest again."
        finally:
            connection.close()

    def _cut(self, connection: duckdb.DuckDBPyConnection, found: FilesInput) -> _Cut | str:
        source, table = self._definition.source, found.table(connection, "_driver")
        kinds = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()}  # nosec B608
        name = source.time_column
        if name not in kinds:
            return f"{found.shown} lacks the column {name}, by which it is cut into partitions; deliver it with it."
        time = conversion(name, "timestamp", kinds[name], source.time_zone).value
        label = f"date_trunc({quote_text(source.partition)}, {time})"
        query = f"SELECT count(*) - count({label}), max({label}) FROM {table}"  # nosec B608 # names are quoted
        untimed, newest = connection.execute(query).fetchall()[0]
        if untimed:
            return (
                f"{found.shown} has {untimed} row(s) without {name}, the event time; without it a row belongs to no "
                "partition. Repair the file and ingest again."
            )
        return _Cut(label, newest)


# ---- a Delta table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DeltaTableRows:
    """A partition's rows in a Delta table."""

    rows: DeltaRows
    files: list[DeltaFile]
    spans: list[Span]

    @property
    def shown(self) -> str:
        return self.rows.snapshot.label

    @property
    def origin(self) -> str:
        return self.rows.snapshot.label

    @property
    def content(self) -> str | None:
        return None

    @property
    def folders(self) -> set[Path]:
        return set()

    def table(self, connection: duckdb.DuckDBPyConnection) -> str:
        self.rows.snapshot.register(connection, ROWS, self.files)
        return self.rows.table(self.spans)

    def changed(self) -> str | None:
        return None


class _DeltaDriver:
    """One version of a Delta table, by window of the event time or as a whole."""

    def __init__(self, definition: Definition, rows: DeltaRows) -> None:
        self._definition = definition
        self._rows = rows
        self._calendar = PartitionCalendar.of(definition)

    def open(self, key: str) -> DriverRows | StagedPartition:
        """See :class:`Driver`."""
        label = self._rows.snapshot.label
        if not self._definition.source.has_time:
            there = self._rows.has_row(None)
            return _DeltaTableRows(self._rows, self._rows.files(None), []) if there else without_rows(key, label)
        partition = self._calendar.from_key(key)
        if not is_due(self._definition, partition):
            return late(self._definition, partition, label)
        span = span_of(partition, self._calendar, self._rows.clock)
        if span is None:
            return untold(self._definition, key, label)
        if not self._rows.has_row(span):
            return without_rows(key, label)
        return _DeltaTableRows(self._rows, self._rows.files(span), [span])
