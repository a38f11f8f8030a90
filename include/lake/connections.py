"""The one way to open DuckDB: no extensions, no file access beyond named folders, bounded memory, UTC, kept order."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from include.lake.paths import temporary_folder
from include.settings import Settings

DEFAULT_MEMORY: Final = "1GiB"  # half of what a step's pod has unless its definition says otherwise
DEFAULT_THREADS: Final = 2


def open_duckdb(
    settings: Settings, *, threads: int | None = None, memory: str | None = None, readable: Iterable[Path] = ()
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that spills below the store, and can reach nothing else.

    :param threads: number of threads (default 2).
    :param memory: memory limit in DuckDB's words, such as ``1GiB`` (default); a definition's ``4Gi`` is understood.
    :param readable: folders whose files its SQL may read; all other file access is refused.
    """
    spill = temporary_folder(settings) / f"duckdb-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    spill.parent.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": _memory(memory or DEFAULT_MEMORY),
            "temp_directory": str(spill),
            "threads": str(threads or DEFAULT_THREADS),
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = true")
    # DuckDB trusts a Parquet file's statistics to say whether there are NaN, but they never do: isnan() became false.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    folders = ", ".join(quote_text(str(folder)) for folder in readable)
    if folders:
        connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def query_batches(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = (), *, rows: int = 65_536
) -> pa.RecordBatchReader:
    """Run a query and stream its rows as Arrow record batches; they must be read before the next query."""
    return connection.sql(query, params=list(parameters)).to_arrow_reader(rows)


def query_table(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()) -> pa.Table:
    """Run a query and return all its rows: for small results."""
    return query_batches(connection, query, parameters).read_all()


def quote_name(name: str) -> str:
    """A column's or view's name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _memory(memory: str) -> str:
    return memory + "B" if memory.endswith(("Ki", "Mi", "Gi")) else memory
