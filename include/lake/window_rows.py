"""Rows that were read by windows of the event time, by partition: what databases and Delta tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from include.lake.connections import quote_text
from include.lake.conversion import Conversion
from include.lake.raw_rows import partition_label, register_groups
from include.lake.source_files import SourceFile
from include.lake.structure import Counts, fault_problem
from include.lake.time_windows import Span
from include.lake.writer import GROUP
from include.spec.definition import Definition


class WindowScan:
    """Rows of some windows, as table expressions by partition.

    :param table: a table expression with the source's columns.
    :param file: how the rows are called in messages.
    :param read: how their columns are converted.
    :param spans: each partition's bounds.
    :param instant: the event time as an instant (SQL), where the source keeps instants; else it is on a clock.
    """

    def __init__(
        self,
        definition: Definition,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        file: SourceFile,
        read: Sequence[Conversion],
        spans: Mapping[str, Span | None],
        instant: str | None,
    ) -> None:
        self.connection = connection
        self.file = file
        self.read = read
        self._table = table
        self._definition = definition
        self._spans = spans
        self._instant = instant

    def rows(self) -> int:
        """All its rows."""
        counted = self.connection.execute(f"SELECT count(*) FROM {self._table}").fetchall()  # nosec B608
        return int(counted[0][0])

    def of(self, keys: Sequence[str]) -> str:
        """The rows of these partitions with ``_group``, an index into the keys, and ``_label``."""
        source = self._definition.source
        columns: dict[str, list[Any]] = {
            GROUP: list(range(len(keys))),
            "_label": [partition_label(key) for key in keys],
        }
        time = next(item.value for item in self.read if item.name == source.time_column)
        condition = f"g._label = date_trunc({quote_text(source.partition)}, {time})"
        if self._instant is not None:  # where a clock goes back, two hours have one label
            spans = [span for key in keys if (span := self._spans[key]) is not None]
            columns |= {"_low": [span.low for span in spans], "_high": [span.high for span in spans]}
            condition += f" AND {self._instant} >= g._low AND {self._instant} < g._high"
        register_groups(self.connection, columns)
        return f"(SELECT s.*, g.{GROUP}, g._label FROM {self._table} s JOIN groups g ON {condition})"  # nosec B608

    def problem(self, key: str, counts: Counts, thing: str) -> str:
        """The sentence for a partition's faults.

        :param thing: what is to be repaired.
        """
        relation = self.of([key])
        found = fault_problem(self.connection, self.file, relation, self.read, self._definition, counts, thing=thing)
        return found or ""
