"""What a query over a source's own tables may be: one SELECT of declared tables that gives the same rows each time.

It is checked as row expressions are: every node of its syntax tree is held against a list of what is allowed, what
passes is written anew from the tree, and only that text reaches DuckDB. Besides what a row expression may hold there
are joins, subqueries, groups and windows, but nothing whose result depends on the order in which DuckDB comes by the
rows: no LIMIT, no ``first`` or ``row_number``, no sums of floating point numbers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from include.spec.expressions import ExpressionError, check_node, names, parse_sql, written_anew
from include.spec.problems import choose

if TYPE_CHECKING:
    from sqlglot import exp

MOST_NODES: Final = 1000
_CURE: Final = "Write one SELECT, such as: SELECT s.*, a.lat FROM source s LEFT JOIN airports a USING (airport)."
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRUCTURE: Final = names(
    """
    Select From Where Group Having Qualify Subquery TableAlias Alias Star Order Ordered Union Except Intersect Exists
    Filter Distinct Tuple CTE IgnoreNulls
    """
)
_SELECT_PARTS: Final = names(
    "expressions from_ joins where group having qualify order distinct with_ operation_modifiers"
)
_AGGREGATES: Final = names("Count CountIf Min Max LogicalAnd LogicalOr")
_SUMS: Final = names("Sum Avg")
_RANKS: Final = names("Rank DenseRank PercentRank CumeDist")
_JOINS: Final = frozenset({"", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"})
_EXACT: Final = names("DECIMAL TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT")
_OF_COLUMNS: Final = {"min": "least", "max": "greatest"}
_NO_ORDER: Final = {
    "Limit": "which rows stay",
    "Offset": "which rows stay",
    "Fetch": "which rows stay",
    "TableSample": "which rows stay",
    "WindowSpec": "which of equal rows come first",
    "RowNumber": "which of equal rows come first",
    "Ntile": "which of equal rows come first",
    "Lag": "which of equal rows come first",
    "Lead": "which of equal rows come first",
    "FirstValue": "which of equal rows come first",
    "LastValue": "which of equal rows come first",
    "NthValue": "which of equal rows come first",
    "First": "which row comes first",
    "Last": "which row comes last",
    "AnyValue": "which row is taken",
    "ArgMin": "which of equal rows is taken",
    "ArgMax": "which of equal rows is taken",
}
_WITH_ORDER: Final = "Use WHERE, rank() OVER (…), min() or max(), which give the same for the same rows."


@dataclass(frozen=True)
class Query:
    """A checked query.

    :param sql: its canonical text, for DuckDB; every name is quoted.
    :param tables: the declared tables that it reads.
    """

    sql: str
    tables: frozenset[str]


@functools.lru_cache(maxsize=256)
def check_query(sql: str, tables: frozenset[str]) -> Query:
    """Check a query over declared tables.

    :param tables: their names, which are lower case.
    :raises ExpressionError: for everything that is not on the list of what is allowed: other tables, files, functions
        that read files or are not deterministic, statements that write, results that depend on the order of rows, ….
    """
    try:
        tree = parse_sql(sql)
    except ExpressionError as error:
        raise ExpressionError(sql, error.what, _CURE) from None
    if type(tree).__name__ not in ("Select", "Union", "Except", "Intersect"):
        raise ExpressionError(sql, "it is no SELECT", _CURE)
    for count, node in enumerate(tree.walk()):
        if count >= MOST_NODES:
            raise ExpressionError(sql, f"it has more than {MOST_NODES} parts", "Prepare the tables before.")
        _check(sql, node, tree)
    read = frozenset(_tables(sql, tree, tables))
    return Query(written_anew(sql, tree), read)


def _check(sql: str, node: exp.Expr, tree: exp.Expr) -> None:
    kind = type(node).__name__
    check = _CHECKS.get(kind)
    if check is not None:
        check(sql, node)
    elif kind == "With":
        if node.args.get("recursive") or node.parent is not tree:
            raise ExpressionError(sql, "WITH is recursive or inside of the query", "Write it once, at the beginning.")
    elif kind in _STRUCTURE or kind in _RANKS:
        return
    elif kind in _NO_ORDER:
        raise ExpressionError(sql, f"the order of rows says {_NO_ORDER[kind]} in `{_shown(node)}`", _WITH_ORDER)
    elif _is_aggregate(node):
        cure = "These can: count, count_if, min, max, bool_and, bool_or, and sum and avg of exact numbers."
        raise ExpressionError(sql, f"the aggregate `{_shown(node)}` cannot be used", cure)
    else:
        check_node(sql, node)


def _select(sql: str, node: exp.Expr) -> None:
    other = sorted(name for name, value in node.args.items() if value and name not in _SELECT_PARTS)
    for name in other:
        part = node.args[name]
        if type(part).__name__ in _NO_ORDER:
            return  # said of the part itself
        raise ExpressionError(sql, f"a SELECT cannot have {name.strip('_').upper()} here", _CURE)
    distinct = node.args.get("distinct")
    if distinct is not None and distinct.args.get("on") is not None:
        raise ExpressionError(sql, "DISTINCT ON keeps whichever row comes first", _WITH_ORDER)


def _join(sql: str, node: exp.Expr) -> None:
    method, kind = str(node.args.get("method") or "").upper(), str(node.args.get("kind") or "").upper()
    if method == "ASOF":
        cure = "Join by an equality, such as ON w.hour = date_trunc('hour', s.sent_at)."
        raise ExpressionError(sql, "ASOF JOIN takes whichever of equally near rows comes first", cure)
    if method or kind not in _JOINS:
        cure = "Join with USING (…) or ON …."
        raise ExpressionError(sql, f"{method or kind} JOIN is not allowed", cure)


def _column(sql: str, node: exp.Expr) -> None:
    if node.args.get("db") is not None:
        name = _shown(node)
        raise ExpressionError(sql, f"`{name}` has more than a table and a column", "Write table.column.")


def _in(sql: str, node: exp.Expr) -> None:
    if node.args.get("query") is None and not node.expressions:
        raise ExpressionError(sql, "IN is not followed by a list of values or a SELECT", "Write `x IN (1, 2)`.")


def _window(sql: str, node: exp.Expr) -> None:
    function = node.this.this if type(node.this).__name__ == "Filter" else node.this
    known = _RANKS | _AGGREGATES | _SUMS
    if type(function).__name__ not in known and type(function).__name__ not in _NO_ORDER:
        cure = "These can: rank, dense_rank, percent_rank, cume_dist, count, min, max, sum and avg of exact numbers."
        raise ExpressionError(sql, f"`{_shown(function)}` cannot be used over a window", cure)


def _aggregate(sql: str, node: exp.Expr) -> None:
    if node.args.get("count") is not None:
        name = type(node).__name__.lower()
        raise ExpressionError(sql, f"{name}() takes one value", f"Of several columns use {_OF_COLUMNS[name]}().")


def _sum(sql: str, node: exp.Expr) -> None:
    value = node.this
    if type(value).__name__ in ("Cast", "TryCast") and value.args["to"].this.name in _EXACT:
        return
    name = type(node).__name__.lower()
    cure = f"Write {name}(CAST(… AS DECIMAL(18, 6))), or a whole number's type."
    raise ExpressionError(sql, f"{name}() of floating point numbers depends on the order of the rows", cure)


def _table(sql: str, node: exp.Expr) -> None:
    from sqlglot import exp

    shown = _shown(node)
    if not isinstance(node.this, exp.Identifier):
        cure = "Declare what it reads below source.tables, and name it."
        raise ExpressionError(sql, f"`{shown}` is a function in place of a table", cure)
    if node.args.get("db") is not None or node.args.get("catalog") is not None:
        raise ExpressionError(sql, f"`{shown}` is a qualified name", "Name a table that is declared in source.tables.")


_CHECKS: Final[dict[str, Any]] = {
    "Select": _select,
    "Join": _join,
    "Column": _column,
    "In": _in,
    "Window": _window,
    "Table": _table,
    **dict.fromkeys(_AGGREGATES, _aggregate),
    **dict.fromkeys(_SUMS, _sum),
}


def _tables(sql: str, tree: Any, declared: frozenset[str]) -> Iterator[str]:
    """The declared tables that are read; each part of WITH may also read those before it.

    :raises ExpressionError: if something else is.
    """
    known: set[str] = set()
    parts = tree.args["with_"].expressions if tree.args.get("with_") else []
    for part in parts:
        yield from _read(sql, part.this, declared, known)
        name = part.alias
        if not _PLAIN_NAME.fullmatch(name) or name.lower() in declared | known:
            raise ExpressionError(
                sql, f"{name!r} cannot be a name in WITH", "Choose another, of letters, digits and _."
            )
        known.add(name.lower())
    rest = tree.copy()
    rest.set("with_", None)
    yield from _read(sql, rest, declared, known)


def _read(sql: str, tree: Any, declared: frozenset[str], known: set[str]) -> Iterator[str]:
    from sqlglot import exp

    for table in tree.find_all(exp.Table):
        name = table.name.lower()
        if name in declared:
            yield name
        elif name not in known:
            cure = (
                f"{choose(table.name, sorted(declared), kind='tables of the query')} Declare others in source.tables."
            )
            raise ExpressionError(sql, f"there is no table {table.name!r}", cure)


def _is_aggregate(node: exp.Expr) -> bool:
    from sqlglot import exp

    return isinstance(node, exp.AggFunc)


def _shown(node: exp.Expr) -> str:
    text = node.sql(dialect="duckdb", comments=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
