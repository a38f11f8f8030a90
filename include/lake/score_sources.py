"""Where the rows of a batch scoring come from: partitions of the model's raw table, or files.

Either gives *parts*, each of which is scored, judged and published whole, and for each part one Parquet file of typed
rows that nobody writes to any more: the gate and the model read the very same rows. Published partitions are such
files; a delivered file is read once into a snapshot of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import duckdb

from include.errors import Refused
from include.lake.columns import arrow_schema
from include.lake.connections import open_duckdb, query_batches
from include.lake.conversion import Conversion
from include.lake.digests import file_checksum
from include.lake.erased import ErasedKeys
from include.lake.faults import FILE_FAULTS, cause, file_stamp, is_ours
from include.lake.score_columns import TABLE
from include.lake.source_files import FileFormat, SourceFile, UnreadableFile, inspect_file, scan_sql
from include.lake.store import store_of
from include.lake.structure import conversions, count_faults, fault_problem
from include.lake.table import LakeTable
from include.lake.writer import GROUP, StagingWriter
from include.settings import Settings
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import ColumnType, Definition

RAW: Final = "raw"
_AGAIN: Final = "score it again"
_FORMATS: Final[Mapping[str, FileFormat]] = {".parquet": "parquet", ".csv": "csv"}
_KEY_DIGITS: Final = 16
_NOT_TO_BE_HAD: Final = (FileNotFoundError, PermissionError)
_UNREAD: Final = "unread"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is scored, judged and published whole: a raw partition or a file.

    :param key: its key in the scores table: the partition's, or 16 hex digits of the file's name.
    :param name: how people call it: the partition's key or the file's path.
    :param data_source: ``raw``, or the file's path.
    :param content: digest of its content; None if it is not there.
    :param file: the raw partition's published file, or the delivered one.
    """

    key: str
    name: str
    data_source: str
    content: str | None
    file: Path | None


class PartUnreadable(Exception):
    """A part's rows cannot be read; the text says what is wrong, where, and what to do."""


class ColumnsGone(Refused):
    """The raw table has not all the columns that the version reads."""

    def __init__(self, model: str, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            f"The raw table of {model} has no column {', '.join(names)}, which the version reads. Score with a version "
            "that was trained on today's columns, or score files that have it."
        )


class Source(Protocol):
    """Something that gives parts and their rows."""

    def parts(self) -> list[Part]:
        """What there is to score, in order."""

    def rows(self, part: Part, columns: Mapping[str, ColumnType]) -> Path:
        """A Parquet file with at least these columns, typed, in the order of ``_row`` (0, 1, …).

        :raises PartUnreadable: if the part's data is not what it must be.
        """

    def release(self, part: Part) -> None:
        """Let go of the part's rows."""


class RawSource:
    """Partitions of the model's raw table, at the version that it has now."""

    def __init__(self, settings: Settings, definition: Definition, keys: Sequence[str]) -> None:
        self._table = LakeTable(settings, definition.model, RAW)
        self._keys = list(keys)
        self._version = self._table.version() if self._table.exists() else None

    def parts(self) -> list[Part]:
        """The partitions asked for; one that is not published has no content."""
        there = self._version is not None
        records = self._table.partitions(self._version) if there else {}
        files = self._table.files(self._version) if there else {}
        return [
            Part(
                key=key,
                name=key,
                data_source=RAW,
                content=records[key].digest if key in records else None,
                file=files.get(key),
            )
            for key in self._keys
        ]

    def rows(self, part: Part, columns: Mapping[str, ColumnType]) -> Path:
        """The published file.

        :raises ColumnsGone: if it lacks a column.
        """
        import pyarrow.parquet as pq

        if part.file is None:
            raise PartUnreadable(f"Partition {part.key} is not in the raw table.")
        self._table.store.fetch(part.file, fixed=True)
        there = pq.read_schema(part.file).names
        gone = [name for name in columns if name not in there]
        if gone:
            raise ColumnsGone(self._table.model, gone)
        return part.file

    def release(self, part: Part) -> None:
        """Nothing: published files stay."""


class DeliveredSource:
    """Parquet or CSV files, each a part; the columns that only the label needs may be absent.

    :param files: from :func:`include.lake.score_files.find_files`.
    """

    def __init__(self, settings: Settings, definition: Definition, files: Sequence[Path], attempt: str) -> None:
        self._settings = settings
        self._definition = definition
        self._files = list(files)
        self._attempt = f"{attempt}-rows"
        self._snapshots: dict[str, Path] = {}
        self._store = store_of(settings)

    def parts(self) -> list[Part]:
        """All files, by their content."""
        return [self._part(path) for path in self._files]

    def _part(self, path: Path) -> Part:
        store = self._settings.store.resolve()
        name = path.relative_to(store).as_posix() if path.is_relative_to(store) else str(path)
        self._store.fetch(path)
        key = hashlib.sha256(f"file\0{name}".encode()).hexdigest()[:_KEY_DIGITS]
        try:
            content = file_checksum(path)
        except _NOT_TO_BE_HAD:
            content = _UNREAD
        return Part(key=key, name=name, data_source=name, content=content, file=path)

    def rows(self, part: Part, columns: Mapping[str, ColumnType]) -> Path:
        """Read the file into a snapshot of typed rows, in the file's own order."""
        path = part.file or Path(part.name)
        try:
            return self._rows(part, path, columns)
        except _NOT_TO_BE_HAD as error:
            if error.filename is None or Path(error.filename) != path:
                raise
            shown = self._store.shown(path)
            raise PartUnreadable(f"{shown} cannot be opened: {error.strerror}. Put it right and {_AGAIN}.") from error

    def _rows(self, part: Part, path: Path, columns: Mapping[str, ColumnType]) -> Path:
        form, shown = _FORMATS.get(path.suffix.lower()), self._store.shown(path)
        if form is None:
            raise PartUnreadable(f"{shown} is neither .parquet nor .csv. Convert it, or name only such files.")
        before = file_stamp(path)
        path.open("rb").close()  # what cannot be opened is said here: readers do not name the file in their errors
        try:
            file = inspect_file(path, form, shown)
        except UnreadableFile as error:
            raise PartUnreadable(f"{shown} {error}. Deliver it again and {_AGAIN}.") from error
        absent = [name for name in columns if name not in file.names]
        if absent:
            raise PartUnreadable(f"{shown} lacks the column(s) {', '.join(absent)}. Add them and {_AGAIN}.")
        snapshot = self._snapshot(part, file, columns)
        if file_stamp(path) != before or file_checksum(path) != part.content:
            raise PartUnreadable(f"{shown} was changed while it was read. When it is complete, {_AGAIN}.")
        return snapshot

    def release(self, part: Part) -> None:
        """Remove the snapshot."""
        snapshot = self._snapshots.pop(part.key, None)
        if snapshot is not None:
            with suppress(FileNotFoundError):
                snapshot.unlink()

    def _snapshot(self, part: Part, file: SourceFile, columns: Mapping[str, ColumnType]) -> Path:
        source = self._definition.source.model_copy(update={"columns": dict(columns)})
        scoped = self._definition.model_copy(update={"source": source})
        threads = self._definition.training.resources.cpu
        connection = open_duckdb(self._settings, threads=threads, readable=[file.path.parent])
        try:
            read = conversions(connection, file, scoped)
            _refuse_faults(connection, file, read, scoped)
            return self._write(connection, part, file, read, columns)
        except FILE_FAULTS as error:
            if is_ours(error):
                raise
            raise PartUnreadable(
                f"{file.shown} cannot be read: {cause(error)}. Deliver it again and {_AGAIN}."
            ) from error
        finally:
            connection.close()

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        part: Part,
        file: SourceFile,
        read: Sequence[Conversion],
        columns: Mapping[str, ColumnType],
    ) -> Path:
        schema = arrow_schema({name: DUCKDB_TYPES[kind] for name, kind in columns.items()})
        writer = StagingWriter(self._settings, self._definition.model, TABLE, self._attempt, schema, shared=False)
        items = ", ".join(item.selected for item in read)
        query = f"SELECT 0::INTEGER AS {GROUP}, {items} FROM {scan_sql([file])}"  # nosec B608 # names are quoted
        erased = ErasedKeys.of(self._settings, self._definition.model).condition(connection, list(columns))
        if erased:
            query = f"SELECT * FROM ({query}) WHERE NOT {erased}"  # nosec B608
        written = writer.write(query_batches(connection, query), [part.key])[part.key]
        snapshot = self._settings.store / written.path
        self._snapshots[part.key] = snapshot
        if not written.rows:
            raise PartUnreadable(f"{file.shown} has no row. Deliver it again and {_AGAIN}.")
        return snapshot


def _refuse_faults(
    connection: duckdb.DuckDBPyConnection, file: SourceFile, read: Sequence[Conversion], scoped: Definition
) -> None:
    # A file belongs to no partition: without a label no row can lie outside of one.
    relation = f"(SELECT *, 0 AS {GROUP}, NULL::TIMESTAMP AS _label FROM {scan_sql([file])})"  # nosec B608
    counts = count_faults(connection, relation, read, scoped)
    problem = fault_problem(connection, file, relation, read, scoped, counts[0], again=_AGAIN) if counts else None
    if problem:
        raise PartUnreadable(problem)
