"""A file that is hashed while it is written."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.lake.digests import file_checksum
from include.lake.hashed_file import HashedFile


def test_its_digest_is_that_of_the_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    file = HashedFile(path)
    rows = pa.table({"a": list(range(100_000)), "b": ["text"] * 100_000})
    with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
        writer.write_table(rows, row_group_size=30_000)
    assert file.end() == file_checksum(path)
    assert pq.read_table(path).equals(rows)


def test_a_full_disk_is_an_error_of_the_operating_system_through_the_writer_of_parquet_too() -> None:
    rows = pa.table({"a": np.random.default_rng(1).random(1_000_000)})
    writer = pq.ParquetWriter(HashedFile(Path("/dev/full")), rows.schema, compression="none")
    with pytest.raises(OSError, match="No space left") as caught:
        writer.write_table(rows)
    assert caught.value.errno == errno.ENOSPC
