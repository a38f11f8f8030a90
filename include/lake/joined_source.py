"""A source whose raw rows are joined: one query over the driving table's rows of a partition and side tables.

Each partition is one run of the query, which sees nothing but its inputs. What it gives goes the way of delivered rows:
the same conversions, faults, order and digests.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb

from include.lake.connections import open_duckdb, quote_name, quote_text
from include.lake.conversion import Conversion, conversion
from include.lake.digests import inputs_digest
from include.lake.faults import FILE_FAULTS, cause
from include.lake.join_drivers import DriverRows, open_driver
from include.lake.join_inputs import JoinInput
from include.lake.join_tables import JoinTables
from include.lake.outcomes import refused, unchanged
from include.lake.raw_rows import partition_label
from include.lake.row_staging import RowStaging
from include.lake.source_files import SourceFile
from include.lake.staging import StagedPartition
from include.lake.table import PartitionRecord
from include.lake.writer import GROUP
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.key_places import key_place
from include.spec.partitions import WHOLE_KEY
from include.spec.queries import Query, check_query
from include.spec.side_tables import DRIVER

_MEMORY: Final = "1GiB"
_JOINED: Final = "_joined"
_THE_QUERY_S: Final = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
_NOBODY_S: Final = (duckdb.OutOfMemoryException, duckdb.InterruptException, duckdb.PermissionException)
_log = logging.getLogger(__name__)


class JoinedSource:
    """Stages raw partitions of one model for one attempt.

    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    :raises ExpressionError: if the query may not be run.
    :raises NoSuchDeltaTable: if a Delta table is not there.
    :raises DeltaTableUnreadable: if it cannot be read as it is.
    """

    def __init__(self, settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> None:
        self._settings = settings
        self._definition = definition
        source = definition.source
        self._query: Query = check_query(source.query or "", frozenset({DRIVER, *source.tables}))
        self._place = key_place(settings.models, definition.model, ("source", "query"))
        self._staging = RowStaging(settings, definition, attempt, suite_digest, thing="tables or the query")
        self._driver = open_driver(settings, definition)
        self._tables = JoinTables(settings, definition)

    def stage(
        self, keys: Sequence[str], published: Mapping[str, PartitionRecord], *, force: bool = False
    ) -> list[StagedPartition]:
        """Stage these partitions; each is judged alone.

        :param published: the raw table's partitions; one made from the same inputs by the same query, or with the same
            rows, is ``unchanged``.
        :param force: stage them all the same.
        """
        return [self._stage(key, None if force else published.get(key)) for key in keys]

    def _stage(self, key: str, record: PartitionRecord | None) -> StagedPartition:
        driver = self._driver.open(key)
        if isinstance(driver, StagedPartition):
            return driver
        tables = self._tables.open(key)
        if isinstance(tables, StagedPartition):
            return tables
        inputs = self._inputs(driver, tables)
        origins = (driver.origin, *(table.origin for table in tables.values()))
        if record is not None and inputs == record.inputs:
            return unchanged(record, driver.shown)
        result = self._run(key, driver, tables, inputs, record)
        changed = next(filter(None, (one.changed() for one in (driver, *tables.values()))), None)
        if changed is not None:
            problem = f"{changed} was changed while it was read. Ingest the partition again when it is complete."
            result = refused(key, driver.shown, problem, inputs)
        return replace(result, source=driver.shown, origins=origins)

    def _inputs(self, driver: DriverRows, tables: Mapping[str, JoinInput]) -> str | None:
        """Digest of what a partition is made from; None if only its rows tell."""
        if driver.content is None:
            return None
        contents = {name: table.content for name, table in tables.items()}
        return self._staging.inputs(inputs_digest(driver=driver.content, tables=contents, query=self._query.sql))

    def _run(
        self,
        key: str,
        driver: DriverRows,
        tables: Mapping[str, JoinInput],
        inputs: str | None,
        record: PartitionRecord | None,
    ) -> StagedPartition:
        folders: set[Path] = driver.folders.union(*(table.folders for table in tables.values()))
        threads = self._definition.training.resources.cpu
        connection = open_duckdb(self._settings, threads=threads, memory=_MEMORY, readable=sorted(folders))
        try:
            _view(connection, DRIVER, driver.table(connection))
            for name, table in tables.items():
                _view(connection, name, table.table(connection, f"_files_of_{name}"))
            problem = self._join(connection)
            if problem is not None:
                return refused(key, driver.shown, problem, inputs)
            return self._judge(connection, key, driver, inputs, record)
        except _NOBODY_S:
            raise
        except FILE_FAULTS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return refused(key, driver.shown, self._failure(connection, error, driver, tables), inputs)
        finally:
            connection.close()

    def _join(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """Run the query once, into a table that DuckDB spills if it is large; return what is wrong with its columns."""
        wanted = self._definition.source.columns
        given = [row[0] for row in connection.execute(f"DESCRIBE {self._query.sql}").fetchall()]
        if lacking := [name for name in wanted if name not in given]:
            return (
                f"{self._place}: the query gives no column {', '.join(lacking)} (it gives {', '.join(given)}). Add it "
                "to the SELECT, or take it out of source.columns."
            )
        if doubled := [name for name in wanted if [one.lower() for one in given].count(name.lower()) > 1]:
            return (
                f"{self._place}: the query gives more than one column {', '.join(doubled)}. Name the columns that are "
                f"meant, or leave the others out, as in a.* EXCLUDE ({', '.join(doubled)})."
            )
        columns = ", ".join(quote_name(name) for name in wanted)
        connection.execute(f"CREATE TEMP TABLE {_JOINED} AS SELECT {columns} FROM ({self._query.sql})")  # nosec B608
        return None

    def _judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        key: str,
        driver: DriverRows,
        inputs: str | None,
        record: PartitionRecord | None,
    ) -> StagedPartition:
        label = "NULL" if key == WHOLE_KEY else f"TIMESTAMP {quote_text(str(partition_label(key)))}"
        relation = f"(SELECT *, 0 AS {GROUP}, {label} AS _label FROM {_JOINED})"  # nosec B608 # a label is a time
        file = SourceFile(path=Path(), shown=f"what source.query makes of {driver.shown}", format="parquet", columns=())
        notes = self._multiplied(connection, key)
        read = self._conversions(connection)
        return self._staging.judge_one(connection, relation, file, read, key, record, inputs=inputs, notes=notes)

    def _multiplied(self, connection: duckdb.DuckDBPyConnection, key: str) -> tuple[str, ...]:
        """A remark if the query gives more or fewer rows than it was driven by; it may, but perhaps should not."""
        before = _count(connection, quote_name(DRIVER))
        after = _count(connection, _JOINED)
        if before == after:
            return ()
        note = f"source.query made {after} rows out of {before} of `{DRIVER}`"
        log = _log.warning if after > before else _log.info
        log("%s: %s%s", key, note, "; does a key of a joined table repeat?" if after > before else "")
        return (note,)

    def _conversions(self, connection: duckdb.DuckDBPyConnection) -> list[Conversion]:
        source = self._definition.source
        kinds = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {_JOINED}").fetchall()}
        return [conversion(name, kind, kinds[name], source.time_zone) for name, kind in source.columns.items()]

    def _failure(
        self,
        connection: duckdb.DuckDBPyConnection,
        error: Exception,
        driver: DriverRows,
        tables: Mapping[str, JoinInput],
    ) -> str:
        """What a failed query is told: which table cannot be read, or else what is wrong with the query."""
        said = cause(error).partition(" LINE ")[0]
        if isinstance(error, _THE_QUERY_S):
            cure = "Correct the query, or deliver the tables with the columns that it reads."
            return f"{self._place}: the query does not fit {driver.shown} and its tables: {said}. {cure}"
        shown = {DRIVER: driver.shown} | {
            name: f"{table.shown} (source.tables.{name})" for name, table in tables.items()
        }
        for name, place in shown.items():
            try:
                connection.execute(f"SELECT count(COLUMNS(*)) FROM {quote_name(name)}")  # nosec B608 # a checked name
            except FILE_FAULTS as broken:
                return f"{place} cannot be read: {cause(broken)}. Deliver it again and ingest the partition again."
        cure = "Correct the query (TRY_CAST gives null for what cannot be cast), or the values in the tables."
        return f"{self._place}: the query over {driver.shown} failed: {said}. {cure}"


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    connection.execute(f"CREATE TEMP VIEW {quote_name(name)} AS SELECT * FROM {table}")  # nosec B608 # a checked name


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # nosec B608
