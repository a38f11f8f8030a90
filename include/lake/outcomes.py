"""What can become of a source's partition: staged, unchanged, refused, missing; each as its manifest entry."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from include.lake.source_files import SourceFile
from include.lake.staging import StagedPartition
from include.lake.table import PartitionRecord
from include.lake.writer import WrittenPartition


def staged(
    key: str, file: SourceFile, inputs: str, written: WrittenPartition, notes: tuple[str, ...]
) -> StagedPartition:
    """A partition whose rows lie in a new staged file."""
    return StagedPartition(
        key=key,
        status="staged",
        path=written.path,
        rows=written.rows,
        digest=written.digest,
        inputs=inputs,
        checksum=written.checksum,
        source=str(file.path),
        notes=notes,
    )


def unchanged(record: PartitionRecord, path: Path) -> StagedPartition:
    """A partition that is published already, made from the same inputs."""
    return StagedPartition(
        key=record.key,
        status="unchanged",
        rows=record.rows,
        digest=record.digest,
        inputs=record.inputs,
        source=str(path),
    )


def refused(key: str, path: Path, problem: str, inputs: str | None = None) -> StagedPartition:
    """A partition whose data is not what it must be; the problem says what, where, and what to do."""
    return StagedPartition(key=key, status="refused", problem=problem, source=str(path), inputs=inputs)


def missing(key: str, path: Path, newest: datetime | None = None) -> StagedPartition:
    """A partition whose data has not arrived; ``newest`` is the local time of the newest rows that have."""
    there = f"{path} holds nothing as new as that yet" if path.is_file() else f"there is no file {path}"
    if newest is not None:
        there += f" (its newest rows are of {newest})"
    return StagedPartition(
        key=key, status="missing", problem=f"Partition {key} has not arrived: {there}.", source=str(path)
    )
