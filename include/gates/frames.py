"""What a gate judges, where it lies: only the columns that the suite names and the entity are ever read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.gates.errors import GateBroken
from include.gates.rows_on_disk import RowsOnDisk
from include.gates.suite import Suite
from include.lake.pieces import piece_paths

if TYPE_CHECKING:
    import pyarrow as pa

PARTS: Final = ("train", "validation", "holdout")


def read_table(path: Path, suite: Suite, subject: str, extra: Sequence[str] = ()) -> pa.Table:
    """Read a Parquet file's columns that the suite names or ``extra`` names; one that is not there is left out.

    :raises GateBroken: if the file cannot be read: our own file is damaged, which says nothing about the data.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = dict.fromkeys([*suite.columns, *extra])
            return file.read(columns=[name for name in file.schema_arrow.names if name in wanted])
    except (OSError, pa.ArrowInvalid) as error:
        reason = f"{type(error).__name__}: {error} (run the step that wrote it again)"
        raise GateBroken(suite.name, subject, f"reading {path}", reason) from error


def file_rows(path: Path, suite: Suite, subject: str) -> RowsOnDisk:
    """The rows of one file."""
    return RowsOnDisk(files=(path,), suite=suite.name, subject=subject)


def predictions_rows(path: Path, suite: Suite, subject: str) -> RowsOnDisk:
    """Staged predictions; suites know the partition that a row comes from as ``partition``."""
    from include.lake.columns import DATA_PARTITION, PARTITION

    return RowsOnDisk(files=(path,), suite=suite.name, subject=subject, renamed={DATA_PARTITION: PARTITION})


def training_rows(directory: Path, suite: Suite, subject: str) -> RowsOnDisk:
    """A training set's three parts with the column ``part``."""
    named = [(part, path) for part in PARTS for path in piece_paths(directory, part)]
    parts, files = (tuple(values) for values in zip(*named, strict=True))
    return RowsOnDisk(files=files, suite=suite.name, subject=subject, added={"part": parts})
