"""What the compiler knows of an expression's parts: DuckDB's own word on types and constants."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from include.errors import NoriaError
from include.features.compiled.runtime import LARGEST, SMALLEST

if TYPE_CHECKING:
    from sqlglot import exp

    from include.features.compiled.compiler import Compiler

INTEGERS: Final[dict[str, tuple[int, int]]] = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (SMALLEST, LARGEST),
}
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)\Z")


class NotCompiled(NoriaError):
    """An expression that cannot be compiled exactly; DuckDB computes it then.

    :param expression: its text.
    :param why: what in it has no exact compiled form.
    """

    def __init__(self, expression: str, why: str) -> None:
        shown = expression if len(expression) <= 200 else f"{expression[:200]}…"
        super().__init__(f"`{shown}` is left to DuckDB: {why}.")
        self.expression = expression
        self.why = why


def decimal_scale(kind: str) -> tuple[int, int] | None:
    """Width and scale of a decimal type, None for another type."""
    found = _DECIMAL.match(kind)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, kw_only=True)
class Value:
    """A part of an expression in the generated code.

    Integers and scaled decimals are ``int`` there, DOUBLE ``float``, VARCHAR ``str``, BOOLEAN ``bool``, TIMESTAMP
    ``datetime``, DATE ``date``; null is ``None``.

    :param code: a variable or a literal.
    :param kind: DuckDB's type.
    :param nullable: whether it can be null.
    :param low: lower bound of an integer (or scaled decimal).
    :param high: upper bound of it.
    :param nan: whether a float may be NaN.
    :param constant: the SQL text, if no column is in it.
    :param literal: whether it is a text literal, which takes the type of what it stands beside.
    """

    code: str
    kind: str
    nullable: bool = True
    low: int = SMALLEST
    high: int = LARGEST
    nan: bool = False
    constant: str | None = None
    literal: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it is the constant null."""
        return self.code == "None"


#: Adds the lines for one kind of node, given with its SQL text.
Handler: TypeAlias = "Callable[[Compiler, exp.Expr, str], Value]"


class Oracle:
    """Asks DuckDB for the types and constants of one model's expressions.

    :param columns: names and DuckDB types of the columns.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        listed = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {kind}' for name, kind in columns.items())
        self._connection.execute(f"CREATE TABLE raw_rows ({listed or 'nothing INTEGER'})")
        self._kinds: dict[str, str] = {}

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()

    def check_reading(self, select: str, tree: exp.Expr) -> None:
        """Whether DuckDB reads the text as the syntax tree has it, in every precedence.

        :param tree: the tree of ``SELECT <select>``.
        :raises NotCompiled: if it reads it otherwise.
        """
        if self._read(f"SELECT {select}") != self._read(_in_brackets(tree)):
            raise NotCompiled(select, "DuckDB reads it with another precedence; add brackets")

    def _read(self, statement: str) -> Any:
        [(text,)] = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()
        return _without_places(json.loads(text))

    def kind(self, sql: str) -> str:
        """DuckDB's type of an expression.

        :raises NotCompiled: if it has none by itself.
        """
        import duckdb

        if sql not in self._kinds:
            try:
                described = self._connection.execute(
                    f"DESCRIBE SELECT {sql} FROM raw_rows"  # nosec B608 # written from a checked tree
                ).fetchall()
            except duckdb.Error as error:
                raise NotCompiled(sql, f"DuckDB gives it no type: {_first_line(error)}") from error
            self._kinds[sql] = str(described[0][1])
        return self._kinds[sql]

    def constant(self, sql: str, kind: str) -> Any:
        """The value of an expression without columns, as a type; a decimal as scaled integer.

        :raises NotCompiled: if DuckDB cannot compute it.
        """
        import duckdb

        try:
            [(value,)] = self._connection.execute(f"SELECT CAST(({sql}) AS {kind})").fetchall()
        except duckdb.Error as error:
            raise NotCompiled(sql, f"DuckDB cannot compute it: {_first_line(error)}") from error
        scale = decimal_scale(kind)
        if scale is not None and isinstance(value, Decimal):
            return int(value.scaleb(scale[1]))
        return value


def constant_code(value: Any) -> str:
    """Python text of a constant.

    :raises NotCompiled: if it has none.
    """
    if isinstance(value, float):
        if value != value:
            return "NAN"
        if value in (float("inf"), float("-inf")):
            return "INF" if value > 0 else "-INF"
        return repr(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        parts = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
        return f"datetime({', '.join(map(str, parts))})"
    if type(value) is date:
        return f"date({value.year}, {value.month}, {value.day})"
    if isinstance(value, str):
        return ascii(value)
    if value is None or isinstance(value, bool | int):
        return repr(value)
    raise NotCompiled(repr(value), f"a constant of the type {type(value).__name__} has no compiled form")


def _in_brackets(tree: exp.Expr) -> str:
    """The tree's text with brackets around every operation."""
    from sqlglot import exp

    tree = tree.copy()
    for node in reversed(list(tree.walk())):
        if isinstance(node, exp.Binary | exp.Unary | exp.Between | exp.In) and not isinstance(node, exp.Paren):
            bracket = exp.Paren()
            node.replace(bracket)
            bracket.set("this", node)
    text: str = tree.sql(dialect="duckdb", identify=True, comments=False)
    return text


def _without_places(document: Any) -> Any:
    """DuckDB's syntax tree without the places in the text; sqlglot writes VARCHAR as TEXT."""
    if isinstance(document, dict):
        if document.get("class") == "TYPE":
            name = str(document.get("type_name")).replace("TEXT", "VARCHAR")
            return [name, _without_places(document.get("children"))]
        return {key: _without_places(value) for key, value in document.items() if "query_location" not in key}
    return [_without_places(value) for value in document] if isinstance(document, list) else document


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split())[:150].rstrip(".")
