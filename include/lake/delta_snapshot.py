"""A Delta table that somebody else writes, at one version: its files, what is known of each, and their rows.

What is known of a file (its partition's values, the least and greatest value of a column) says which files a read
needs; only those are brought from a bucket and opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from include.errors import Refused, TryAgain
from include.lake.digests import DIGEST_LENGTH
from include.lake.faults import cause
from include.lake.paths import source_path
from include.lake.store import store_of
from include.lake.store_faults import named_faults
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.key_places import key_place
from include.spec.problems import KeyPath

_READ: Final = frozenset({"timestampNtz", "vacuumProtocolCheck", "v2Checkpoint", "deletionVectors"})
_VECTORS: Final = "deletionVectors"
_MAPPING: Final = "delta.columnMapping.mode"


class NoSuchDeltaTable(Refused):
    """There is no Delta table where the definition says."""

    def __init__(self, place: str, shown: str) -> None:
        self.shown = shown
        super().__init__(
            f"{place}: there is no Delta table {shown} (no _delta_log in it). Correct the path, or write the table "
            "first."
        )


class DeltaTableUnreadable(Refused):
    """A Delta table cannot be read as it is."""

    def __init__(self, place: str, shown: str, why: str, cure: str) -> None:
        self.shown = shown
        super().__init__(f"{place}: the Delta table {shown} cannot be read: {why}. {cure}")


class DeltaFileGone(TryAgain):
    """A file of the version that is read is not there any more."""

    def __init__(self, label: str, name: str) -> None:
        self.name = name
        super().__init__(
            f"{label} has lost its file {name}: it was vacuumed while it was read, or was copied in part. The newest "
            "version will be tried; if that lacks the file too, restore it, or rewrite the table."
        )


@dataclass(frozen=True)
class DeltaFile:
    """A file of a snapshot.

    :param index: its row in the snapshot's list.
    :param name: its path below the table's folder.
    :param size: in bytes.
    :param rows: how many it has, if that is known.
    """

    index: int
    name: str
    size: int
    rows: int | None


class DeltaSnapshot:
    """The newest version that a table has when this is made; what is written later is not seen.

    :param keys: the definition's key with the path, for messages.
    :param template: the path, as the definition says it.
    :raises NoSuchDeltaTable: if there is no table.
    :raises DeltaTableUnreadable: if it needs what is not supported, or its log is broken.
    :raises StoreAway: if its bucket cannot be reached.
    """

    def __init__(self, settings: Settings, definition: Definition, keys: KeyPath, template: str) -> None:
        self._settings = settings
        self._store = store_of(settings)
        self._place = key_place(settings.models, definition.model, keys)
        self._folder = source_path(settings, template)
        self.shown = self._store.shown(self._folder)
        self._known: dict[str, list[Any] | None] = {}
        self._table = self._open()
        self.version = self._table.version()
        self._refuse_unread()

    @property
    def label(self) -> str:
        """How messages and lineage call it."""
        return f"the Delta table {self.shown} (version {self.version})"

    @cached_property
    def schema(self) -> pa.Schema:
        """Its columns, those that it is partitioned by too."""
        return pa.schema(self._table.schema().to_arrow())

    @cached_property
    def actions(self) -> pa.Table:
        """What is known of each file, in the order of their paths: ``partition.<column>``, ``min.<column>``, …"""
        return pa.table(self._table.get_add_actions(flatten=True)).sort_by("path")

    @cached_property
    def files(self) -> list[DeltaFile]:
        """Its files.

        :raises DeltaTableUnreadable: if some lie outside of the table's folder.
        """
        columns = (self.actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        actions = enumerate(zip(*columns, strict=True))
        found = [DeltaFile(index, unquote(path), size, rows) for index, (path, size, rows) in actions]
        if any("://" in file.name or file.name.startswith("/") for file in found):
            raise self._unreadable("it is a shallow clone, whose files lie elsewhere", "Make a deep clone of it.")
        return found

    @cached_property
    def partition_columns(self) -> list[str]:
        """The columns by which the table is partitioned."""
        return list(self._table.metadata().partition_columns)

    def known(self, kind: str, column: str) -> list[Any] | None:
        """What is known of a column, file by file: its value (``partition``), or its ``min`` or ``max``."""
        name = f"{kind}.{column}"
        if name not in self._known:
            self._known[name] = self.actions[name].to_pylist() if name in self.actions.schema.names else None
        return self._known[name]

    def content(self) -> str:
        """Digest (32 hex characters) of the list of its files: another version with the same files has the same."""
        text = "".join(f"{file.name}\t{file.size}\n" for file in self.files)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

    def register(self, connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[DeltaFile]) -> None:
        """Make the rows of some files readable as ``name``; they are streamed, and columns are read as they are asked.

        :raises DeltaFileGone: if one of the files is not there.
        """
        paths = [self._folder / file.name for file in files]
        self._store.fetch(*paths, fixed=True)
        for path, file in zip(paths, files, strict=True):
            if not path.is_file():
                raise DeltaFileGone(self.label, file.name)
        connection.register(name, self._dataset(files))

    def _dataset(self, files: Sequence[DeltaFile]) -> pads.Dataset:
        if not files:
            return pads.dataset(self.schema.empty_table())
        form = pads.ParquetFileFormat(read_options=pads.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
        filesystem = pyarrow.fs.SubTreeFileSystem(str(self._folder), pyarrow.fs.LocalFileSystem())
        fragments = [
            form.make_fragment(file.name, filesystem=filesystem, partition_expression=self._values_of(file))
            for file in files
        ]
        return pads.FileSystemDataset(fragments, self.schema, form, filesystem)

    def _values_of(self, file: DeltaFile) -> pc.Expression | None:
        """The values of the partition columns, which a file itself does not hold."""
        found: pc.Expression | None = None
        for column in self.partition_columns:
            value = (self.known("partition", column) or [])[file.index]
            field = pc.field(column)
            one = field.is_null() if value is None else field == pa.scalar(value, self.schema.field(column).type)
            found = one if found is None else found & one
        return found

    def _open(self) -> DeltaTable:
        address = self._store.table(self._folder)
        if not self._store.has_table(self._folder):
            raise NoSuchDeltaTable(self._place, self.shown)
        try:
            if self._settings.bucket is None:
                return DeltaTable(address.uri, storage_options=address.options)
            with named_faults(self._settings.bucket, f"reading the Delta table {self.shown}"):
                return DeltaTable(address.uri, storage_options=address.options)
        except DeltaError as error:
            raise self._unreadable(cause(error), "Repair its _delta_log, or write the table anew.") from None

    def _refuse_unread(self) -> None:
        protocol = self._table.protocol()
        features = set(protocol.reader_features or ())
        mapping = self._table.metadata().configuration.get(_MAPPING, "none")
        if mapping != "none":
            features.add("columnMapping")
        if unread := sorted(features - _READ):
            why = f"it needs the reader feature(s) {', '.join(unread)}"
            raise self._unreadable(why, "Write it without them (ALTER TABLE … DROP FEATURE), or read an export of it.")
        if _VECTORS in features and self._has_vectors():
            cure = (
                "Purge them (REORG TABLE … APPLY (PURGE)) and set delta.enableDeletionVectors = false, then run again."
            )
            raise self._unreadable("rows of it are deleted by deletion vectors", cure)

    def _has_vectors(self) -> bool:
        """Whether a file of this version has one: tables are often made with the feature and never use it."""
        try:
            return any(batch.num_rows for batch in pa.RecordBatchReader.from_stream(self._table.deletion_vectors()))
        except DeltaError:  # there is one, and not even it can be read
            return True

    def _unreadable(self, why: str, cure: str) -> DeltaTableUnreadable:
        return DeltaTableUnreadable(self._place, self.shown, why, cure)
