"""Digests: of rows in order (independent of how they are cut into batches), and of what a partition is made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIGEST_LENGTH = 32
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
        self.rows += batch.num_rows
        for name in self._names:
            column = batch.column(name)
            validity, lengths, values = self._streams[name]
            validity.update(_validity(column))
            if pa.types.is_string(column.type):
                _feed_strings(column, lengths, values)
            else:
                values.update(_fixed_bytes(column))

    def hexdigest(self) -> str:
        """32 hex characters."""
        whole = hashlib.sha256(json.dumps([self.rows, self._header]).encode())
        for name in self._names:
            for stream in self._streams[name]:
                whole.update(stream.digest())
        return whole.hexdigest()[:DIGEST_LENGTH]


def _validity(column: pa.Array) -> bytes:
    """A byte for each row: 1 if it has a value."""
    if not column.null_count:
        return b"\1" * len(column)
    return bytes(column.is_valid().to_numpy(zero_copy_only=False).tobytes())


def _fixed_bytes(column: pa.Array) -> bytes:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and (nan := np.isnan(values)).any():
        values = np.where(nan, np.nan, values)
    return bytes(values.tobytes())


def _feed_strings(column: pa.Array, lengths: Any, values: Any) -> None:
    if column.null_count:
        column = column.fill_null("")
    lengths.update(pc.binary_length(column).to_numpy(zero_copy_only=False).tobytes())
    _, offsets, data = column.buffers()
    if len(column) and data is not None:
        cuts = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
        values.update(memoryview(data)[int(cuts[0]) : int(cuts[-1])])


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
