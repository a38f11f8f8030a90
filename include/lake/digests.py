"""Digests: of rows in order (independent of how they are cut into batches), and of what a partition is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

DIGEST_LENGTH = 32
Bytes = bytes | memoryview
_CHUNK = 1 << 20


class RowsDigest:
    """Digest of rows in order: names, types and values of all columns but ``_row``.

    Each column is three streams (validity, lengths, values), each hashed on its own, so that the cut into batches
    leaves no trace. All NaN are one value.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = [name for name in schema.names if name != "_row"]
        self._header = [(name, str(schema.field(name).type)) for name in self._names]
        self._streams = {name: (hashlib.sha256(), hashlib.sha256(), hashlib.sha256()) for name in self._names}
        self.rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        self.add(CanonicalRows(batch, self._names), 0, batch.num_rows)

    def add(self, rows: CanonicalRows, start: int, end: int) -> None:
        """Add the rows from ``start`` up to, without, ``end`` of rows that were prepared together."""
        self.rows += end - start
        for name in self._names:
            for stream, part in zip(self._streams[name], rows.parts(name, start, end), strict=True):
                stream.update(part)

    def hexdigest(self) -> str:
        """32 hex characters."""
        whole = hashlib.sha256(json.dumps([self.rows, self._header]).encode())
        for name in self._names:
            for stream in self._streams[name]:
                whole.update(stream.digest())
        return whole.hexdigest()[:DIGEST_LENGTH]


class CanonicalRows:
    """A batch's columns as the bytes that are hashed, made for many short runs of rows at once.

    :param names: its columns that count.
    """

    def __init__(self, batch: pa.RecordBatch, names: Sequence[str]) -> None:
        self._columns = {name: _canonical(batch.column(name)) for name in names}

    def parts(self, name: str, start: int, end: int) -> tuple[Bytes, Bytes, Bytes]:
        """Validity, lengths and values of some rows of a column."""
        column = self._columns[name]
        validity = column.validity[start:end]
        if column.cuts is None:
            return validity, b"", column.values[start * column.size : end * column.size]
        lengths = np.diff(column.cuts[start : end + 1])
        return validity, lengths.data, column.values[int(column.cuts[start]) : int(column.cuts[end])]


@dataclass(frozen=True)
class _Canonical:
    """A column.

    :param validity: a byte for each row: 1 if it has a value.
    :param values: the bytes of all values; all NaN are one, and what is not there is zero, or no text.
    :param size: bytes of a value; 0 of texts.
    :param cuts: where texts begin in ``values``, and the last ends, as int32; None for other types.
    """

    validity: memoryview
    values: memoryview
    size: int = 0
    cuts: Any = None


def _canonical(column: pa.Array) -> _Canonical:
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if column.null_count:
        validity = column.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    else:
        validity = np.ones(len(column), dtype=np.uint8)
    if pa.types.is_string(column.type):
        return _canonical_texts(column, validity.data)
    values = _canonical_values(column)
    return _Canonical(validity.data, np.ascontiguousarray(values).view(np.uint8).data, values.dtype.itemsize)


def _canonical_values(column: pa.Array) -> Any:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and (nan := np.isnan(values)).any():
        values = np.where(nan, np.nan, values)
    return values


def _canonical_texts(column: pa.Array, validity: memoryview) -> _Canonical:
    if column.null_count:
        column = column.fill_null("")
    _, offsets, data = column.buffers()
    if not len(column) or offsets is None:
        return _Canonical(validity, memoryview(b""), cuts=np.zeros(len(column) + 1, dtype=np.int32))
    cuts = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return _Canonical(validity, memoryview(b"" if data is None else data), cuts=cuts)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes (64 hex characters), read in pieces.

    :raises OSError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def inputs_digest(**parts: Any) -> str:
    """Digest (32 hex characters) of named JSON values: what a partition is made from."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def code_checksum() -> str:
    """Digest (32 hex characters) of the code that makes rows: the rooms lake, features and spec."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in ("features", "lake", "spec"):
        for path in sorted((root / room).glob("*.py")):
            digest.update(f"{room}/{path.name}\0{file_checksum(path)}\n".encode())
    return digest.hexdigest()[:DIGEST_LENGTH]
