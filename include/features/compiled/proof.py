"""The proof that compiled features equal DuckDB's, bit for bit, before a model may use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from include.features.compiled.edges import Row, edge_rows

Reference = Callable[[Sequence[Row]], Mapping[str, Sequence[Any]]]
_SHOWN: Final = 300


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Whether compiled features may answer.

    :param reason: why not; in words for a person. Empty if they may.
    :param rows: number of rows on which they were compared.
    """

    admitted: bool
    reason: str
    rows: int

    def to_document(self) -> dict[str, Any]:
        """What ``features.json`` says of it."""
        return {"admitted": self.admitted, "reason": self.reason, "rows": self.rows}


def load_compiled(source: str) -> ModuleType:
    """Execute generated source as a module of its own."""
    module = ModuleType("compiled_features")
    exec(compile(source, "compiled_features.py", "exec"), module.__dict__)  # nosec B102 # our own generated code
    return module


def prove(source: str, columns: Mapping[str, str], select: str, rows: Sequence[Row], reference: Reference) -> Admission:
    """Compare compiled features with DuckDB's on the given rows and on edge rows.

    A row that the compiled form leaves to DuckDB needs no comparison: DuckDB answers it when serving, too.

    :param source: what :func:`include.features.compiled.compiler.compile_features` made.
    :param columns: names and types (the definition's words) of the inputs.
    :param rows: real rows, values by column: text, int, float, bool, datetime or None.
    :param reference: computes the features of rows by DuckDB; raises an error of DuckDB for a row that it refuses.
    """
    module = load_compiled(source)
    answered: list[Row] = []
    computed: list[tuple[Any, ...]] = []
    for row in [*rows, *edge_rows(columns, literals_of(select), rows)]:
        try:
            features = module.compute(*row)
        except Exception:  # noqa: BLE001, S112 # nosec B112 # DuckDB answers then
            continue
        answered.append(row)
        computed.append(features)
    if not answered:
        return Admission(admitted=False, reason="The compiled form answers not one row.", rows=0)
    problem = _difference(module.FEATURES, answered, computed, reference, list(columns))
    return Admission(admitted=problem is None, reason=problem or "", rows=len(answered))


def _difference(
    names: Sequence[str],
    rows: Sequence[Row],
    computed: Sequence[tuple[Any, ...]],
    reference: Reference,
    columns: Sequence[str],
) -> str | None:
    """The first difference in words; rows that DuckDB refuses are searched for by halves."""
    import duckdb

    try:
        expected = reference(rows)
    except duckdb.Error as error:
        if len(rows) == 1:
            words = " ".join(str(error).split("\n")[0].split())
            return _cut(f"DuckDB refuses the row {dict(zip(columns, rows[0], strict=True))}: {words}")
        half = len(rows) // 2
        return _difference(names, rows[:half], computed[:half], reference, columns) or _difference(
            names, rows[half:], computed[half:], reference, columns
        )
    for place, name in enumerate(names):
        for row, features, value in zip(rows, computed, expected[name], strict=True):
            if not same(features[place], value):
                given = dict(zip(columns, row, strict=True))
                return _cut(f"{name} is {features[place]!r} compiled and {value!r} in DuckDB for the row {given}")
    return None


def same(compiled: Any, expected: Any) -> bool:
    """Whether two values are the same in type and bits; null and NaN both mean missing in a number."""
    if expected is None:
        return compiled is None
    if isinstance(expected, float):
        if math.isnan(expected):
            return compiled is None or (type(compiled) is float and math.isnan(compiled))
        signed = math.copysign(1.0, expected)
        return type(compiled) is float and compiled == expected and math.copysign(1.0, compiled) == signed
    return type(compiled) is type(expected) and bool(compiled == expected)


def literals_of(select: str) -> list[Any]:
    """The texts and numbers that are written in the expressions, in their order, each once."""
    import sqlglot
    from sqlglot import exp

    found: dict[Any, None] = {}
    for literal in sqlglot.parse_one(f"SELECT {select}", read="duckdb").find_all(exp.Literal):
        value = literal.this if literal.is_string else _number(literal.this)
        if value is not None:
            found[value] = None
    return list(found)


def _number(text: str) -> float | int | None:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
