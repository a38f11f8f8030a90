"""How a value of a source file becomes a value of a declared column type, as SQL; what cannot be converted is named.

Nothing is guessed: 2.7 is no integer, 12 is no string, text is parsed only in its plain forms. NaN is a missing value
and -0.0 is 0.0, so that equal rows have equal digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from include.lake.connections import quote_name, quote_text
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import ColumnType

_INTEGERS: Final = frozenset(
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"]
)
_FLOATS: Final = frozenset({"FLOAT", "DOUBLE"})
_CLOCKS: Final = frozenset({"TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE"})
_WITH_OFFSET: Final = quote_text(r".*[0-9]{2}:[0-9]{2}.*(Z|[+-][0-9]{2}(:?[0-9]{2})?)")


@dataclass(frozen=True)
class Conversion:
    """SQL for one column: its value in the declared type, and whether the source's value could not be converted."""

    name: str
    value: str
    bad: str

    @property
    def selected(self) -> str:
        """The value as a select item under the column's name."""
        return f"{self.value} AS {quote_name(self.name)}"


def conversion(name: str, kind: ColumnType, source_type: str, time_zone: str) -> Conversion:
    """How the column ``name``, of a DuckDB type in the file, becomes a value of the declared type."""
    column = quote_name(name)
    parsed = _parsed(column, kind, _family(source_type), time_zone)
    if parsed is None:
        return Conversion(name, f"CAST(NULL AS {DUCKDB_TYPES[kind]})", f"({column} IS NOT NULL)")
    missing = f"{column} IS NULL"
    if source_type in _FLOATS:
        missing = f"({column} IS NULL OR isnan({column}))"
    bad = f"(NOT {missing} AND ({parsed}) IS NULL)"
    if kind == "number":
        parsed = f"CASE WHEN isnan({parsed}) THEN NULL WHEN ({parsed}) = 0 THEN 0::DOUBLE ELSE ({parsed}) END"
    return Conversion(name, parsed, bad)


def natural_type(source_type: str) -> ColumnType | None:
    """The column type that a source's DuckDB type is read as without a loss; None if there is none."""
    types: dict[str, ColumnType] = {
        "integer": "integer",
        "number": "number",
        "clock": "timestamp",
        "instant": "timestamp",
        "text": "string",
        "boolean": "boolean",
    }
    return types.get(_family(source_type))


def _family(source_type: str) -> str:
    if source_type in _INTEGERS:
        return "integer"
    if source_type in _FLOATS or source_type.startswith("DECIMAL"):
        return "number"
    if source_type in _CLOCKS:
        return "clock"
    return {"VARCHAR": "text", "BOOLEAN": "boolean", "TIMESTAMP WITH TIME ZONE": "instant"}.get(source_type, "other")


def _parsed(column: str, kind: ColumnType, family: str, time_zone: str) -> str | None:
    zone = quote_text(time_zone)
    text = f"trim({column})"
    plain_integer = quote_text(r"[+-]?[0-9]+(\.0*)?")
    forms = {
        ("string", "text"): column,
        (
            "integer",
            "text",
        ): f"CASE WHEN regexp_full_match({text}, {plain_integer}) THEN TRY_CAST({text} AS BIGINT) END",
        ("number", "text"): f"CASE WHEN NOT contains({column}, '_') THEN TRY_CAST({text} AS DOUBLE) END",
        ("boolean", "text"): f"TRY_CAST({text} AS BOOLEAN)",
        ("timestamp", "text"): (
            f"CASE WHEN regexp_full_match({text}, {_WITH_OFFSET}) "
            f"THEN timezone({zone}, TRY_CAST({text} AS TIMESTAMP WITH TIME ZONE)) "
            f"WHEN regexp_matches({text}, '^[0-9]') THEN TRY_CAST({text} AS TIMESTAMP) END"
        ),
        ("integer", "integer"): f"TRY_CAST({column} AS BIGINT)",
        ("number", "integer"): f"TRY_CAST({column} AS DOUBLE)",
        ("boolean", "integer"): f"CASE WHEN {column} IN (0, 1) THEN {column} = 1 END",
        ("integer", "number"): f"CASE WHEN {column} = trunc({column}) THEN TRY_CAST({column} AS BIGINT) END",
        ("number", "number"): f"TRY_CAST({column} AS DOUBLE)",
        ("boolean", "number"): f"CASE WHEN {column} IN (0, 1) THEN {column} = 1 END",
        ("boolean", "boolean"): column,
        ("timestamp", "clock"): f"TRY_CAST({column} AS TIMESTAMP)",
        ("timestamp", "instant"): f"timezone({zone}, {column})",
    }
    return forms.get((kind, family))
