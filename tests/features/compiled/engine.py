"""Compiled expressions beside DuckDB's answers, for the tests of the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from include.features.compiled.compiler import compile_features
from include.features.compiled.edges import Row, edge_rows
from include.features.compiled.proof import literals_of, load_compiled
from include.spec.expressions import check_expression

COLUMNS = {
    "i": "integer",
    "j": "integer",
    "x": "number",
    "y": "number",
    "s": "string",
    "u": "string",
    "b": "boolean",
    "d": "boolean",
    "t": "timestamp",
    "w": "timestamp",
}
KINDS = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}
ARROW = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}
DUCKDB_COLUMNS = {name: KINDS[kind] for name, kind in COLUMNS.items()}


class Comparison:
    """DuckDB and the compiler side by side."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET GLOBAL TimeZone = 'UTC'")

    def rows(self, expression: str, *, combined: int = 500) -> list[Row]:
        return edge_rows(COLUMNS, literals_of(check_expression(expression).sql), [], combined=combined)

    def differences(self, expression: str, kind: str, rows: Sequence[Row]) -> tuple[list[Any], int]:
        """Rows with other answers, and the number of rows that the compiled form answered.

        :raises NotCompiled: if the expression is not compiled.
        """
        item = f"CAST({check_expression(expression).sql} AS {kind})"
        module = load_compiled(compile_features(DUCKDB_COLUMNS, f"{item} AS f", ["f"]))
        answered, computed = [], []
        for row in rows:
            try:
                [value] = module.compute(*row)
            except Exception:  # noqa: BLE001, S112 - left to DuckDB
                continue
            answered.append(row)
            computed.append(value)
        return self._differences(item, answered, computed), len(answered)

    def _differences(self, item: str, rows: list[Row], computed: list[Any]) -> list[Any]:
        if not rows:
            return []
        try:
            expected = self._duckdb(item, rows)
        except duckdb.Error as error:
            if len(rows) == 1:
                return [(rows[0], computed[0], f"refused: {error}")]
            half = len(rows) // 2
            first = self._differences(item, rows[:half], computed[:half])
            return first or self._differences(item, rows[half:], computed[half:])
        return [
            (row, value, other)
            for row, value, other in zip(rows, computed, expected, strict=True)
            if exactly(value) != exactly(other)
        ]

    def _duckdb(self, item: str, rows: Sequence[Row]) -> list[Any]:
        columns = {
            name: pa.array([row[place] for row in rows], ARROW[kind])
            for place, (name, kind) in enumerate(COLUMNS.items())
        }
        self.connection.register("given", pa.table({**columns, "place": pa.array(range(len(rows)))}))
        return [row[0] for row in self.connection.execute(f"SELECT {item} FROM given ORDER BY place").fetchall()]


def exactly(value: Any) -> tuple[str, Any]:
    """A value that equals only what is the same in type and bits; NaN equals NaN."""
    if isinstance(value, float):
        return "float", "nan" if value != value else value.hex()
    return type(value).__name__, value
