"""Raw rows become staged partitions: what all sources share whose partitions are no files of their own.

Nothing like a file's checksum exists for most of them, so whether a partition is unchanged is decided by its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import duckdb

from include.lake.columns import arrow_schema, raw_columns
from include.lake.conversion import Conversion
from include.lake.outcomes import absent, refused, staged, unchanged
from include.lake.paths import from_store
from include.lake.raw_rows import raw_inputs, write_sorted
from include.lake.source_files import SourceFile
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.structure import Counts, count_faults, fault_problem
from include.lake.table import PartitionRecord
from include.lake.window_rows import WindowScan
from include.lake.writer import StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import WHOLE_KEY, Partition


class RowStaging:
    """Stages partitions of one model for one attempt.

    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    :param thing: what is to be repaired if rows are wrong.
    """

    def __init__(
        self, settings: Settings, definition: Definition, attempt: str, suite_digest: str, *, thing: str
    ) -> None:
        self._settings = settings
        self._definition = definition
        self._suite_digest = suite_digest
        self._thing = thing
        self._writer = StagingWriter(
            settings,
            definition.model,
            "raw",
            attempt,
            arrow_schema(raw_columns(definition.model, definition.source.columns)),
        )

    def judge(
        self, scan: WindowScan, counts: Mapping[int, Counts], keys: Sequence[str], known: Mapping[str, PartitionRecord]
    ) -> list[StagedPartition]:
        """Stage, refuse or miss each partition of a scan.

        :param counts: what was counted in ``scan.of(keys)``.
        :param known: published partitions; one with the same rows is ``unchanged``.
        """
        results: list[StagedPartition] = []
        good: list[str] = []
        for index, key in enumerate(keys):
            if index not in counts:
                results.append(without_rows(key, scan.file.shown))
            elif counts[index].bad:
                results.append(refused(key, scan.file.shown, scan.problem(key, counts[index], self._thing)))
            else:
                good.append(key)
        if not good:
            return results
        written = write_sorted(scan.connection, self._writer, self._definition, scan.of(good), scan.read, good)
        return results + [self._result(key, scan.file, written[key], known.get(key)) for key in good]

    def judge_one(
        self,
        connection: duckdb.DuckDBPyConnection,
        relation: str,
        file: SourceFile,
        read: Sequence[Conversion],
        key: str,
        record: PartitionRecord | None,
        *,
        inputs: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> StagedPartition:
        """Stage or refuse the one partition that a relation holds.

        :param relation: a table expression with the source's columns, ``_group`` 0 and ``_label``.
        :param inputs: digest of what it is made from, if that is known before its rows are.
        """
        counts = count_faults(connection, relation, read, self._definition).get(0)
        problem = None
        if counts is not None:
            problem = fault_problem(connection, file, relation, read, self._definition, counts, thing=self._thing)
        if problem:
            return refused(key, file.shown, problem, inputs)
        written = write_sorted(connection, self._writer, self._definition, relation, read, [key])
        return self._result(key, file, written[key], record, inputs, notes)

    def inputs(self, content: str) -> str:
        """Digest of what a partition is made from; see :func:`raw_inputs`."""
        return raw_inputs(self._definition, content, self._suite_digest)

    def _result(
        self,
        key: str,
        file: SourceFile,
        written: WrittenPartition,
        record: PartitionRecord | None,
        inputs: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> StagedPartition:
        """What has become of written rows: unchanged if they are those that are published."""
        inputs = inputs or self.inputs(written.digest)
        if record is not None and record.inputs == inputs:
            store_of(self._settings).remove(from_store(self._settings, written.path))
            return unchanged(record, file.shown)
        return staged(key, file, inputs, written, notes)


def late(definition: Definition, partition: Partition, shown: str) -> StagedPartition:
    """A partition that is not due yet."""
    complete = partition.end + definition.source.arrives_after
    why = f"its rows are taken to be complete at {complete.isoformat()} (source.arrives_after)"
    return absent(partition.key, shown, why)


def without_rows(key: str, shown: str) -> StagedPartition:
    """A partition of which the source has no row."""
    return absent(key, shown, f"{shown} has no row {'at all' if key == WHOLE_KEY else 'of it'}")


def untold(definition: Definition, key: str, shown: str) -> StagedPartition:
    """The second of two equal hours, whose rows cannot be told from those of the first."""
    why = (
        f"{definition.source.event_time} has no time zone, so its rows are those of the hour before; give the column a "
        "time zone in the source, or cut the partitions in UTC"
    )
    return absent(key, shown, why)


def is_due(definition: Definition, partition: Partition) -> bool:
    """Whether a partition's rows are taken to be complete by now: it has ended, ``source.arrives_after`` ago."""
    return partition.end + definition.source.arrives_after <= datetime.now(UTC)
