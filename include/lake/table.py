"""A Delta table of the lake: partitions with digests, atomic publishing, time travel, scans into DuckDB.

Staged files are moved into the table byte for byte, as the gate saw them, by one commit that replaces their
partitions. A writer holds the table's advisory lock; a commit that meets another one fails instead of merging.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
from deltalake import DeltaTable

from include.errors import Refused
from include.lake.columns import DIGEST, INPUTS, PARTITION
from include.lake.connections import quote_name
from include.lake.paths import table_folder
from include.lake.staging import StagedManifest, StagedPartition, combined_digest
from include.lake.store import Store, TableAddress, store_of
from include.lake.store_faults import named_faults
from include.settings import Settings

_COPIES_KEPT_SECONDS = 3600.0

if TYPE_CHECKING:
    import duckdb

    from include.lake.publishing import Published


class NoSuchVersion(Refused):
    """The table, or the version asked for, is not there."""

    def __init__(self, model: str, table: str, wanted: str) -> None:
        self.model = model
        self.table = table
        family = {"predictions": "train", "scores": "score"}.get(table, "data")
        super().__init__(
            f"The {table} table of {model} has no {wanted}. Run the DAG {model}.{family} first, or name a version "
            "that its history shows."
        )


class RowsErased(Refused):
    """An older version of a table needs files that were removed, since they held rows of an erased key.

    :param version: the version.
    :param files: how many of its files are gone.
    """

    def __init__(self, table: LakeTable, version: int, files: int) -> None:
        self.version = version
        self.files = files
        super().__init__(
            f"Version {version} of the {table.label} can no longer be read: {files} of its files held rows of a key "
            f"that was erased (`python -m include.privacy erasures {table.model}` says when and why), or are older "
            "than retention allows. Read a newer version."
        )


@dataclass(frozen=True, kw_only=True)
class PartitionRecord:
    """A published partition: key, digest of its rows, digest of what it was made from, number of rows.

    Keys are of time, but for predictions: there each training is a partition. A partition of scores is one of the raw
    table's, or a file.
    """

    key: str
    digest: str
    inputs: str
    rows: int


class LakeTable:
    """The table ``name`` (raw, features, predictions or scores) of a model."""

    def __init__(self, settings: Settings, model: str, name: str) -> None:
        self.settings = settings
        self.model = model
        self.name = name
        self.folder = table_folder(settings, model, name)

    @cached_property
    def store(self) -> Store:
        """The store that it lies in."""
        return store_of(self.settings)

    @cached_property
    def address(self) -> TableAddress:
        """Where it is, as ``deltalake`` takes it."""
        return self.store.table(self.folder)

    def exists(self) -> bool:
        """Whether it was ever published to."""
        return self.store.has_table(self.folder)

    def load(self, version: int | None = None) -> DeltaTable:
        """The Delta table, which is known to exist, at a version that is known to exist (None: the newest)."""
        with self.named_faults("reading"):
            return DeltaTable(self.address.uri, version=version, storage_options=self.address.options)

    @contextmanager
    def named_faults(self, doing: str) -> Iterator[None]:
        """Within, faults of a bucket become errors that say so; a folder's stay what they are.

        :raises StoreAway: if the bucket cannot be reached.
        :raises StoreRefuses: if it does not let us.
        """
        if self.settings.bucket is None:
            yield
            return
        with named_faults(self.settings.bucket, f"{doing} the {self.label}"):
            yield

    def version(self) -> int:
        """Its newest version.

        :raises NoSuchVersion: if it does not exist.
        """
        return self.open().version()

    def open(self, version: int | None = None) -> DeltaTable:
        """The Delta table at a version (None: the newest).

        :raises NoSuchVersion: if there is none.
        """
        if not self.exists():
            raise NoSuchVersion(self.model, self.name, "published version yet")
        newest = self.load()
        if version is None or version == newest.version():
            return newest
        if not 0 <= version < newest.version():
            raise NoSuchVersion(self.model, self.name, f"version {version}")
        return self.load(version)

    def partitions(self, version: int | None = None) -> dict[str, PartitionRecord]:
        """Its partitions by key, in key order; none if the table does not exist yet."""
        if version is None and not self.exists():
            return {}
        return published_partitions(self.open(version))

    def digest(self, version: int | None = None, keys: Collection[str] | None = None) -> str:
        """Digest (32 hex characters) of a version, or of some of its partitions: hash of sorted key and digest."""
        wanted = None if keys is None else set(keys)
        records = self.partitions(version).values()
        return combined_digest((r.key, r.digest) for r in records if wanted is None or r.key in wanted)

    def published_file(self, staged: StagedPartition) -> Path | None:
        """The newest version's file with a staged partition's rows, if they are published from the same inputs."""
        record = self.partitions().get(staged.key)
        if record is None or (record.digest, record.inputs) != (staged.digest, staged.inputs):
            return None
        file = self.files()[staged.key]
        self.store.fetch(file, fixed=True)
        return file

    def files(self, version: int | None = None) -> dict[str, Path]:
        """Each partition's file, by key: read once, however many are wanted. Nobody writes to them any more.

        Of a bucket they are to be fetched before they are read.

        :raises NoSuchVersion: if the table or the version is not there.
        """
        actions = pa.table(self.open(version).get_add_actions(flatten=True))
        if not actions.num_rows:
            return {}
        places = zip(actions[f"partition.{PARTITION}"].to_pylist(), actions["path"].to_pylist(), strict=True)
        return {key: self.folder / name for key, name in places}

    def publish(self, staged: StagedManifest, *, attempt: str, gate: Mapping[str, Any]) -> Published:
        """Publish what a gate accepted; see :func:`include.lake.publishing.publish`."""
        from include.lake.publishing import publish

        return publish(self, staged, attempt=attempt, gate=gate)

    def dataset(self, version: int | None = None, keys: Collection[str] | None = None) -> pyarrow.dataset.Dataset:
        """The rows of a version, or of some partitions, as an Arrow dataset that reads nothing yet.

        Its files are local ones: of a bucket they are fetched here.
        """
        table = self.open(version)
        if keys is not None and not keys:
            return pyarrow.dataset.dataset(pa.schema(table.schema().to_arrow()).empty_table())
        return self.local_dataset(table, None if keys is None else [(PARTITION, "in", sorted(keys))])

    def local_dataset(self, table: DeltaTable, chosen: list[tuple[str, str, Any]] | None) -> pyarrow.dataset.Dataset:
        """The files of an opened version as a dataset of local files.

        :param chosen: which partitions, as ``deltalake`` takes it (None: all).
        :raises RowsErased: if it is an older version, and files of it were removed when a key was erased.
        """
        files = pyarrow.fs.SubTreeFileSystem(str(self.folder), pyarrow.fs.LocalFileSystem())
        dataset = table.to_pyarrow_dataset(filesystem=files, file_pruning_predicate=chosen)
        paths = [self.folder / name for name in dataset.files]
        self.store.fetch(*paths, fixed=True)
        gone = sum(not path.exists() for path in paths)
        if gone and table.version() < self.version():
            raise RowsErased(self, table.version(), gone)
        return dataset

    def forget_copies(self, table: DeltaTable) -> None:
        """Remove this process's copies of a bucket's files that an opened version does not need, if they are old.

        For processes that live long; whoever has begun to read keeps an hour for it.
        """
        if self.settings.bucket is None:
            return
        needed = {self.folder / name for name in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()}
        oldest = time.time() - _COPIES_KEPT_SECONDS
        for path in self.folder.rglob("*.parquet"):
            if path not in needed and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        *,
        version: int | None = None,
        keys: Collection[str] | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        """Make rows readable as the view ``name`` of a DuckDB connection.

        The view's order is not defined: sort by ``partition, _row``. ``partition`` is a VARCHAR.

        :param keys: only these partitions (None: all); keys that are not published give no rows.
        :param columns: only these columns (None: all).
        :raises NoSuchVersion: if the table or the version is not there.
        """
        dataset = self.dataset(version, keys)
        hidden = f"{name}__files"
        connection.register(hidden, dataset)
        chosen = "*" if columns is None else ", ".join(quote_name(column) for column in columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS SELECT {chosen} FROM {quote_name(hidden)}"  # nosec B608
        )

    def version_at(self, instant: datetime) -> int:
        """The version that was the newest at an instant (with time zone).

        :raises NoSuchVersion: if nothing was published by then.
        """
        milliseconds = instant.timestamp() * 1000
        versions = [entry["version"] for entry in self.history() if entry["timestamp"] <= milliseconds]
        if not versions:
            raise NoSuchVersion(self.model, self.name, f"version as of {instant.isoformat()}")
        return int(max(versions))

    def history(self) -> list[dict[str, Any]]:
        """Its commits, newest first: version, timestamp (ms) and ``noria`` (digest, partitions, as_of, attempt…)."""
        return list(self.open().history())

    @cached_property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.name} table of {self.model}"


def published_partitions(table: DeltaTable) -> dict[str, PartitionRecord]:
    """The partitions of an opened Delta table by key, in key order, from its metadata alone."""
    actions = pa.table(table.get_add_actions(flatten=True))
    if not actions.num_rows:
        return {}
    columns = [f"partition.{name}" for name in (PARTITION, DIGEST, INPUTS)]
    rows = zip(*(actions[name].to_pylist() for name in (*columns, "num_records")), strict=True)
    records = (PartitionRecord(key=key, digest=digest, inputs=made, rows=n) for key, digest, made, n in rows)
    return {record.key: record for record in sorted(records, key=lambda record: record.key)}
