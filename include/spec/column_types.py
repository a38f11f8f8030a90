"""What the types of columns are called in SQL: in the engine, DuckDB, and so in every expression."""

from __future__ import annotations

from typing import Final

from include.spec.definition import ColumnType

DUCKDB_TYPES: Final[dict[ColumnType, str]] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}
