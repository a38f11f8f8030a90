"""Compiles feature expressions to Python, from the tree that their SQL was written from, with DuckDB's types.

What has no exact form in Python is not compiled: :class:`NotCompiled` names it, and DuckDB goes on computing the
model's features. Code that compiles is used only where :mod:`include.features.compiled.proof` has found it equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.features.compiled import arithmetic, calls, choices, logic, runtime
from include.features.compiled.body import Body
from include.features.compiled.calls import call
from include.features.compiled.casts import Caster, make_constant
from include.features.compiled.functions import PARTS, date_part, unread_arguments
from include.features.compiled.values import NotCompiled, Oracle, Value

if TYPE_CHECKING:
    from sqlglot import exp

_RUNTIME: Final = Path(runtime.__file__)
_HANDLERS: Final = {**logic.HANDLERS, **choices.HANDLERS, **arithmetic.HANDLERS, **calls.HANDLERS}


def compile_features(columns: Mapping[str, str], select: str, features: Sequence[str]) -> str:
    """Source of a module with ``compute(*columns) -> tuple``: one row's features by value, null as None.

    The same arguments always give the same text.

    :param columns: names and DuckDB types of the inputs, in the order of ``compute``'s arguments.
    :param select: the select items that DuckDB computes the features with.
    :param features: names of the select items, in the order of the tuple.
    :raises NotCompiled: if an expression has no exact compiled form.
    """
    import sqlglot

    tree = sqlglot.parse_one(f"SELECT {select}", read="duckdb")
    items = {item.alias: item.this for item in tree.expressions}
    oracle = Oracle(columns)
    try:
        oracle.check_reading(select, tree)
        compiler = Compiler(columns, oracle)
        results = [compiler.feature(name, items[name]) for name in features]
        return _module(columns, features, compiler.body, results)
    except KeyError as error:
        raise NotCompiled(select, f"it has no item {error}") from error
    except RecursionError as error:
        raise NotCompiled(select, "it is nested too deep") from error
    finally:
        oracle.close()


def _module(columns: Mapping[str, str], features: Sequence[str], body: Body, results: Sequence[Value]) -> str:
    parameters = ", ".join(f"c{place}" for place in range(len(columns)))
    lines = [
        _RUNTIME.read_text(encoding="utf-8").rstrip(),
        "",
        "",
        "# ---- this model ----",
        "",
        f"COLUMNS = ({', '.join(map(ascii, columns))},)",
        f"FEATURES = ({', '.join(map(ascii, features))},)",
        *body.constants,
        "",
        "",
        f"def compute({parameters}):",
        '    """The features of one row, in the order of FEATURES, from its values in the order of COLUMNS."""',
        *body.lines,
        f"    return ({', '.join(result.code for result in results)},)",
        "",
    ]
    return "\n".join(lines)


class Compiler:
    """Turns the nodes of syntax trees into lines of one Python function.

    :param columns: names and DuckDB types of the inputs.
    """

    def __init__(self, columns: Mapping[str, str], oracle: Oracle) -> None:
        self.body = Body()
        self.oracle = oracle
        self.caster = Caster(oracle, self.body)
        self._columns = {name: Value(code=f"c{place}", kind=kind) for place, (name, kind) in enumerate(columns.items())}
        self._folded = {name.lower(): value for name, value in self._columns.items()}

    def feature(self, name: str, node: exp.Expr) -> Value:
        """One feature; a failure names it.

        :raises NotCompiled: if it has no exact compiled form.
        """
        text = node.sql(dialect="duckdb")
        self.body.line(f"# {ascii(name)[1:-1]}: {ascii(text)[1:-1]}")
        try:
            return self.value(node)
        except NotCompiled as error:
            raise NotCompiled(text, f"{error.why} (in `{error.expression}`)") from error

    def value(self, node: exp.Expr) -> Value:
        """A node's value, computed once in each block."""
        from sqlglot import exp

        node = node.unnest()
        sql = _sql(node)
        known = self.body.known(sql)
        if known is not None:
            return known
        if isinstance(node, exp.Column):
            found = self._columns.get(node.name) or self._folded.get(node.name.lower())
            if found is None:
                raise NotCompiled(sql, "there is no such column")
            return found
        if node.find(exp.Column) is None and not isinstance(node, exp.Interval):
            literal = isinstance(node, exp.Literal) and node.is_string
            return make_constant(self.oracle, self.body, sql, self.oracle.kind(sql), literal=literal)
        return self.body.remember(sql, self._compute(node, sql))

    def _compute(self, node: exp.Expr, sql: str) -> Value:
        name = type(node).__name__
        handler = _HANDLERS.get(name)
        part = date_part(node)
        if part is None and handler is None:
            raise NotCompiled(sql, f"{_called(node)} has no compiled form")
        unread = unread_arguments(node)
        if unread:
            raise NotCompiled(sql, f"{_called(node)} with {', '.join(unread)} has no compiled form")
        if part is not None:
            return call(self, PARTS[part[0]], [self.value(part[1])], sql)
        return handler(self, node, sql) if handler is not None else self.value(node)


def _called(node: exp.Expr) -> str:
    name: str = node.name if type(node).__name__ == "Anonymous" else type(node).__name__
    return name.lower()


def _sql(node: exp.Expr) -> str:
    text: str = node.sql(dialect="duckdb", identify=True, comments=False)
    return text
