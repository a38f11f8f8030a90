"""Writes sorted rows as one staged Parquet file for each partition, with digests, a few batches in memory at a time.

Digests and compression cost as much as the query that gives the rows, so they are made beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.columns import ROW
from include.lake.digests import CanonicalRows, RowsDigest
from include.lake.hashed_file import HashedFile
from include.lake.lanes import Lanes
from include.lake.paths import checked_key, relative_to_store, staging_folder
from include.lake.store import store_of
from include.settings import Settings

GROUP: Final = "_group"
_ROW_GROUP_ROWS: Final = 131_072


@dataclass(frozen=True, kw_only=True)
class WrittenPartition:
    """A staged file: path relative to the store, rows, digest of the rows, SHA-256 of the file, remarks on the rows."""

    path: str
    rows: int
    digest: str
    checksum: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Run:
    """Rows of a batch that belong to one file."""

    batch: pa.RecordBatch
    canonical: CanonicalRows
    start: int
    end: int


@dataclass
class _OpenFile:
    key: str
    path: Path
    schema: pa.Schema
    digest: RowsDigest
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    waiting_rows: int = 0
    writer: pq.ParquetWriter | None = None
    sink: HashedFile | None = None
    checksum: str = ""

    def add(self, run: _Run) -> None:
        first, count = self.digest.rows, run.end - run.start
        numbers = pa.array(np.arange(first, first + count, dtype=np.int64))
        batch = run.batch.slice(run.start, count)
        columns = [numbers if name == ROW else batch.column(name) for name in self.schema.names]
        self.digest.add(run.canonical, run.start, run.end)
        self.waiting.append(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.waiting_rows += count
        if self.waiting_rows >= _ROW_GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.writer is None:
            self.sink = HashedFile(self.path)
            # Dictionaries make texts smaller and numbers slower to write.
            texts = [field.name for field in self.schema if pa.types.is_string(field.type)]
            self.writer = pq.ParquetWriter(
                self.sink, self.schema, compression="zstd", write_statistics=False, use_dictionary=texts
            )
        self.writer.write_table(pa.Table.from_batches(self.waiting, schema=self.schema))
        self.waiting, self.waiting_rows = [], 0

    def close(self) -> None:
        if self.waiting or self.writer is None:
            self.flush()
        if self.writer is not None and self.sink is not None:
            self.writer.close()
            self.checksum = self.sink.end()

    def abandon(self) -> None:
        """Let go of a file that is not to be finished."""
        with suppress(OSError, pa.ArrowException):
            if self.writer is not None and self.sink is not None:
                self.writer.close()
                self.sink.end()


class StagingWriter:
    """Writes the staged files of one attempt.

    :param schema: Arrow schema of the files, with ``_row``, which the writer itself numbers 0..n-1.
    :param shared: whether other processes are to read them; else they stay with this one.
    """

    def __init__(
        self, settings: Settings, model: str, table: str, attempt: str, schema: pa.Schema, *, shared: bool = True
    ) -> None:
        self.settings = settings
        self._shared = shared
        self._schema = schema
        self._folder = staging_folder(settings, model, table, attempt)
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> dict[str, WrittenPartition]:
        """Write one file for each key, also for those without rows.

        :param batches: rows sorted by the integer column ``_group``, an index into ``keys``; within a group in the
            rows' own total order.
        """
        files: list[_OpenFile] = []
        finished: dict[str, Future[WrittenPartition]] = {}
        try:
            with Lanes() as lanes:
                for file, rows in self._filled(batches, keys, files):
                    lane = len(files)
                    if rows is None:
                        finished[file.key] = lanes.run(lane, partial(self._finish, file))
                    else:
                        lanes.run(lane, partial(file.add, rows))
        except BaseException:
            for file in files:
                file.abandon()
            raise
        written = {key: finished[key].result() for key in keys}
        if self._shared:
            store_of(self.settings).deliver(*(file.path for file in files))
        return written

    def _filled(
        self, batches: Iterable[pa.RecordBatch], keys: Sequence[str], files: list[_OpenFile]
    ) -> Iterator[tuple[_OpenFile, _Run | None]]:
        """Each file with its rows piece by piece, at last None. A file is added to ``files`` before its first piece."""
        for key, runs in groupby(self._runs(batches, keys), itemgetter(0)):
            files.append(self._open(key))
            yield from ((files[-1], run) for _, run in runs)
            yield files[-1], None
        for key in set(keys) - {file.key for file in files}:
            files.append(self._open(key))
            yield files[-1], None

    def _runs(self, batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[tuple[str, _Run]]:
        hashed = [name for name in self._schema.names if name != ROW]
        for batch in batches:
            if not batch.num_rows:
                continue
            groups = batch.column(GROUP).to_numpy()
            cuts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(groups)]
            canonical = CanonicalRows(batch, hashed)
            for start, end in pairwise(cuts):
                yield keys[int(groups[start])], _Run(batch, canonical, start, end)

    def _open(self, key: str) -> _OpenFile:
        path = self._folder / f"{checked_key(key)}.parquet"
        path.unlink(missing_ok=True)  # a table may have adopted an equal try's file by a link: never write into it
        return _OpenFile(key=key, path=path, schema=self._schema, digest=RowsDigest(self._schema))

    def _finish(self, file: _OpenFile) -> WrittenPartition:
        file.close()
        return WrittenPartition(
            path=relative_to_store(self.settings, file.path),
            rows=file.digest.rows,
            digest=file.digest.hexdigest(),
            checksum=file.checksum,
        )
