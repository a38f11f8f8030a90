"""The files of a training set's parts, written a few rows at a time: their size says nothing of the memory needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.lake.columns import LABEL, ROW
from include.lake.digests import DIGEST_LENGTH, RowsDigest
from include.lake.table import PartitionRecord

ROW_GROUP_ROWS: Final = 131_072
ROWS_AT_ONCE: Final = 1_000_000
"""So many rows are sorted or joined at once; DuckDB spills what does not fit."""
_MOST_LABELS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class WrittenPart:
    """A part whose files are complete.

    :param rows: of all of them.
    :param digest: over names, types and values of all rows in order, ``_row`` included.
    :param labels: its different labels, sorted; not all if there are very many.
    :param files: their names, in the rows' order.
    """

    rows: int
    digest: str
    labels: tuple[float, ...] = ()
    files: tuple[str, ...] = ()


def joined(pieces: Sequence[WrittenPart]) -> WrittenPart:
    """The part that these pieces are, one after the other; its digest is made of theirs, if it is more than one."""
    if len(pieces) == 1:
        return pieces[0]
    digest = hashlib.sha256("".join(f"{piece.rows}\t{piece.digest}\n" for piece in pieces).encode())
    return WrittenPart(
        rows=sum(piece.rows for piece in pieces),
        digest=digest.hexdigest()[:DIGEST_LENGTH],
        labels=tuple(sorted({label for piece in pieces for label in piece.labels})),
        files=tuple(name for piece in pieces for name in piece.files),
    )


@dataclass
class PartWriter:
    """Writes one file; a row group is all that is kept of it.

    :param schema: of the file.
    """

    path: Path
    schema: pa.Schema
    _labels: set[float] = field(default_factory=set)
    _waiting: list[pa.RecordBatch] = field(default_factory=list)
    _waiting_rows: int = 0

    def __post_init__(self) -> None:
        # Digests leave ``_row`` out by its name; here it says which row of the features table this is.
        self._numbered = pa.schema([f.with_name("row_number") if f.name == ROW else f for f in self.schema])
        self._digest = RowsDigest(self._numbered)
        self._writer = pq.ParquetWriter(self.path, self.schema, compression="zstd")

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        if not batch.num_rows:
            return
        self._digest.update(pa.RecordBatch.from_arrays(batch.columns, schema=self._numbered))
        if LABEL in self.schema.names and len(self._labels) < _MOST_LABELS:
            self._labels.update(pc.unique(batch.column(LABEL)).to_pylist())
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self.schema)
        self._waiting, self._waiting_rows = [], 0
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def close(self) -> WrittenPart:
        """Finish the file."""
        if self._waiting:
            self._flush()
        self._writer.close()
        return WrittenPart(
            rows=self._digest.rows,
            digest=self._digest.hexdigest(),
            labels=tuple(sorted(self._labels)),
            files=(self.path.name,),
        )

    def abandon(self) -> None:
        """Let go of a file that is not to be finished."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()


def write_part(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> WrittenPart:
    """Write a file of these rows, in their order."""
    writer = PartWriter(path, schema)
    try:
        for batch in batches:
            writer.add(batch)
    except BaseException:
        writer.abandon()
        raise
    return writer.close()


def read_batches(
    paths: Iterable[Path], columns: Sequence[str] | None = None, rows: int = ROW_GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of files, some at a time."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(rows, columns=None if columns is None else list(columns))


def together(keys: Sequence[str], records: Mapping[str, PartitionRecord], rows: int) -> Iterator[list[str]]:
    """Keys of partitions that have about so many rows together; a larger one is alone. At least one list."""
    group: list[str] = []
    there = 0
    for key in keys:
        own = records[key].rows
        if group and there + own > rows:
            yield group
            group, there = [], 0
        group.append(key)
        there += own
    yield group
