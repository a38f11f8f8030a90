"""Where raw partitions come from: the one place that knows the kinds of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from include.lake.paths import source_path
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.table import PartitionRecord
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar


class PartitionSource(Protocol):
    """Something from which raw partitions are staged."""

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions; each is judged alone.

        :param published: the raw table's partitions; one made from the same inputs is ``unchanged``.
        :param force: stage them all the same.
        """


def open_source(settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> PartitionSource:
    """The source that a definition names.

    :param attempt: unique name of the attempt that stages.
    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    :raises NoConnection: if it is a database whose connection is not known here.
    """
    if definition.source.type == "sql":
        from include.lake.sql_source import SqlSource

        return SqlSource(settings, definition, attempt, suite_digest)
    if definition.source.query is not None:
        from include.lake.joined_source import JoinedSource

        return JoinedSource(settings, definition, attempt, suite_digest)
    if definition.source.type == "delta":
        from include.lake.delta_source import DeltaSource

        return DeltaSource(settings, definition, attempt, suite_digest)
    from include.lake.files_source import FilesSource

    return FilesSource(settings, definition, attempt, suite_digest)


def absent_partitions(settings: Settings, definition: Definition, keys: Sequence[str]) -> list[str]:
    """Those of the partitions whose data is not in the source.

    A file is there or not; so are the files of tables that are joined. In a database or a Delta table a partition is
    there when it is due and has at least one row, for which it is asked with a query that ends at the first.

    :raises SourceAway: if the database does not answer.
    :raises SourceBroken: if it refuses login or query.
    :raises NoSuchDeltaTable: if there is no such Delta table.
    """
    source = definition.source
    if source.type == "sql":
        return _absent_in_database(settings, definition, keys)
    if source.type == "delta":
        from include.lake.delta_source import absent_rows

        absent = set(absent_rows(settings, definition, keys))
    else:
        store, own_file = store_of(settings), "{partition}" in source.path
        paths = {key: source_path(settings, source.path, key if own_file else None) for key in keys}
        absent = {key for key, path in paths.items() if store.size(path) is None}
    if source.tables:
        from include.lake.join_tables import JoinTables

        tables = JoinTables(settings, definition)
        absent |= {key for key in keys if not tables.is_there(key)}
    return [key for key in keys if key in absent]


def _absent_in_database(settings: Settings, definition: Definition, keys: Sequence[str]) -> list[str]:
    from include.lake.row_staging import is_due
    from include.lake.sql_extract import SqlReader
    from include.lake.time_windows import span_of

    calendar = PartitionCalendar.of(definition)
    reader = SqlReader(settings, definition)
    due = [partition for partition in map(calendar.from_key, keys) if is_due(definition, partition)]
    if not due:
        return list(keys)
    form = reader.time_form()
    spans = [span for partition in due if (span := span_of(partition, calendar, form.clock)) is not None]
    there = reader.has_rows(form, [(span.low, span.high) for span in spans])
    arrived = {span.key for span, is_there in zip(spans, there, strict=True) if is_there}
    return [key for key in keys if key not in arrived]
