"""What can become of a source's partition: staged, unchanged, refused, missing; each as its manifest entry."""

from __future__ import annotations

from datetime import datetime

from include.lake.source_files import SourceFile
from include.lake.staging import StagedPartition
from include.lake.table import PartitionRecord
from include.lake.writer import WrittenPartition
from include.spec.partitions import WHOLE_KEY


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
        source=file.shown,
        notes=(*notes, *written.notes),
    )


def unchanged(record: PartitionRecord, source: str) -> StagedPartition:
    """A partition that is published already, made from the same inputs."""
    return StagedPartition(
        key=record.key,
        status="unchanged",
        rows=record.rows,
        digest=record.digest,
        inputs=record.inputs,
        source=source,
    )


def refused(key: str, source: str, problem: str, inputs: str | None = None) -> StagedPartition:
    """A partition whose data is not what it must be; the problem says what, where, and what to do."""
    return StagedPartition(key=key, status="refused", problem=problem, source=source, inputs=inputs)


def missing(key: str, source: str, *, is_there: bool, newest: datetime | None = None) -> StagedPartition:
    """A partition whose data has not arrived.

    :param is_there: whether the file is there, without this partition's rows.
    :param newest: the local time of the newest rows that have arrived.
    """
    there = f"{source} holds nothing as new as that yet" if is_there else f"there is no file {source}"
    if newest is not None:
        there += f" (its newest rows are of {newest})"
    return _not_arrived(key, source, there)


def absent(key: str, source: str, why: str) -> StagedPartition:
    """A partition whose rows are not in the source.

    :param why: a clause that says so.
    """
    return _not_arrived(key, source, why)


def _not_arrived(key: str, source: str, why: str) -> StagedPartition:
    what = "The data has" if key == WHOLE_KEY else f"Partition {key} has"
    return StagedPartition(key=key, status="missing", problem=f"{what} not arrived: {why}.", source=source)
