"""Takes rows out of a lake table: of the newest version by a commit, of all older ones by removing their files.

Delta's history keeps every file that was ever published. Of these only the ones that hold such rows go; every other
partition of an older version can still be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.publishing import rewrite
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable, PartitionRecord
from include.lake.writer import GROUP, StagingWriter

Wanted = Callable[[pa.Table], pa.Array]
"""Given rows, says of each whether it goes; it is given the named columns only."""

NewInputs = Callable[[PartitionRecord, str], str]
"""Given a partition as it was and the new digest of its rows, says what it is made from now."""


@dataclass(frozen=True, kw_only=True)
class TakenOut:
    """What was taken out of a table.

    :param rows: rows by partition of the newest version.
    :param before: digest of each such partition, and ``after`` of what it is now.
    :param files: files of older versions that were removed.
    :param version: the newest version now; None if there is no table.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    files: int = 0
    version: int | None = None


def holding_files(table: LakeTable, columns: Sequence[str], wanted: Wanted) -> dict[Path, int]:
    """All data files of a table, of whatever version, that hold such rows, and how many."""
    paths = [path for path in table.store.find(table.folder, "*.parquet") if path.parent == table.folder]
    table.store.fetch(*paths, fixed=True)
    counts = {path: count_rows(path, columns, wanted) for path in paths}
    return {path: count for path, count in counts.items() if count}


def count_rows(path: Path, columns: Sequence[str], wanted: Wanted) -> int:
    """How many rows of a Parquet file are wanted; none if it lacks one of the columns."""
    with pq.ParquetFile(path) as file:
        if not set(columns) <= set(file.schema_arrow.names):
            return 0
        return sum(
            int(np.count_nonzero(wanted(pa.table(batch)).to_numpy(zero_copy_only=False)))
            for batch in file.iter_batches(columns=list(columns))
        )


def take_out(
    table: LakeTable, columns: Sequence[str], wanted: Wanted, *, attempt: str, reason: str, inputs: NewInputs
) -> TakenOut:
    """Take rows out of all versions of a table; what is gone already is left alone.

    Partitions of the newest version are written again without them, in one commit, with the rows in their order. Then
    files of older versions go.

    :param columns: columns that decide.
    :raises TableChanged: if another writer came in between.
    """
    if not table.exists():
        return TakenOut()
    taken: dict[str, tuple[int, str, str]] = {}

    def stage(before: Mapping[str, PartitionRecord], files: Mapping[str, Path]) -> list[StagedPartition]:
        held = {key: count_rows(path, columns, wanted) for key, path in files.items()}
        staged = [
            _without(table, before[key], files[key], wanted, attempt, inputs) for key, count in held.items() if count
        ]
        taken.update({one.key: (held[one.key], before[one.key].digest, one.digest or "") for one in staged})
        return staged

    version = rewrite(table, stage, attempt=attempt, reason=reason)
    current = set(table.files().values())
    old = [path for path in holding_files(table, columns, wanted) if path not in current]
    table.store.remove(*old)
    return TakenOut(
        rows={key: rows for key, (rows, _, _) in taken.items()},
        before={key: before for key, (_, before, _) in taken.items()},
        after={key: after for key, (_, _, after) in taken.items()},
        files=len(old),
        version=version,
    )


def _without(
    table: LakeTable, record: PartitionRecord, path: Path, wanted: Wanted, attempt: str, inputs: NewInputs
) -> StagedPartition:
    """A partition without the wanted rows, staged."""
    with pq.ParquetFile(path) as file:
        rows = file.read()
    mask = wanted(rows).to_numpy(zero_copy_only=False)
    kept = rows.filter(pa.array(~mask.astype(bool)))
    schema = kept.schema.remove_metadata()
    writer = StagingWriter(table.settings, table.model, table.name, attempt, schema)
    grouped = kept.cast(schema).append_column(GROUP, pa.array(np.zeros(kept.num_rows, np.int32)))
    written = writer.write(grouped.combine_chunks().to_batches(), [record.key])[record.key]
    return StagedPartition(
        key=record.key,
        status="staged",
        path=written.path,
        rows=written.rows,
        digest=written.digest,
        inputs=inputs(record, written.digest),
        checksum=written.checksum,
    )
