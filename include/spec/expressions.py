"""What a row expression may be: columns of the row, literals, operators and deterministic scalar functions.

An expression is parsed in DuckDB's dialect, every node of its syntax tree is held against a list of what is allowed,
and what passes is written anew from the tree. Only that text reaches DuckDB.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from include.errors import Refused
from include.spec.problems import choose

if TYPE_CHECKING:
    from sqlglot import exp

_SYNTAX_CURE: Final = (
    "Look for a missing operand, comma, quote or bracket there; it must be one SQL expression, such as `a > 15`."
)
LONGEST: Final = 4000
MOST_NODES: Final = 500


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


FUNCTIONS: Final[tuple[str, ...]] = _words(
    """
    abs ceil floor round trunc sign sqrt cbrt exp ln log log2 log10 pow mod fmod even gcd lcm sin cos tan asin acos
    atan atan2 sinh cosh tanh radians degrees pi isnan isinf isfinite greatest least coalesce ifnull nullif if year
    quarter month week isoyear yearweek day dayofmonth dayofyear isodow dayofweek weekday hour minute second
    millisecond epoch last_day dayname monthname date_part date_trunc date_diff date_sub extract make_date
    make_timestamp strftime lower upper length trim ltrim rtrim left right substring replace concat concat_ws
    contains starts_with ends_with reverse strpos split_part ascii translate strip_accents
    """
)

_OPERATORS: Final = names(
    """
    Column Identifier Literal Boolean Null Paren Neg Not And Or Add Sub Mul Div IntDiv Mod DPipe EQ NEQ GT GTE LT
    LTE Is NullSafeEQ NullSafeNEQ Between In Like ILike Escape Case If Cast TryCast DataType DataTypeParam Interval
    Var BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift BitwiseRightShift
    """
)
_TYPED_FUNCTIONS: Final = names(
    """
    Abs Ceil Floor Round Trunc Sign Sqrt Cbrt Exp Ln Log Pow Sin Cos Tan Asin Acos Atan Atan2 Sinh Cosh Tanh Radians
    Degrees Pi IsNan IsInf Greatest Least Coalesce Nullif Year Quarter Month Week WeekOfYear Day DayOfMonth
    DayOfYear DayOfWeekIso DayOfWeek Hour Minute Second TimeToUnix LastDay Dayname Monthname TimestampTrunc
    DateTrunc DateDiff DateAdd Extract DateFromParts TimestampFromParts TimeToStr Lower Upper Length Trim Left Right
    Substring Replace Concat ConcatWs Contains StartsWith EndsWith Reverse StrPosition SplitPart Ascii Unicode
    Translate
    """
)
_NAMED_FUNCTIONS: Final = names(
    """
    isfinite even gcd lcm fmod millisecond isoyear yearweek weekday date_part datepart date_sub datesub strlen
    prefix suffix strip_accents ord
    """
)
_TYPES: Final = names(
    """
    BOOLEAN TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT FLOAT DOUBLE DECIMAL TEXT VARCHAR
    DATE TIMESTAMP TIMESTAMPNTZ TIME
    """
)
_UNCERTAIN: Final = names(
    """
    rand random uuid gen_random_uuid setseed now today get_current_timestamp get_current_time get_current_date
    transaction_timestamp current_localtime current_localtimestamp nextval currval txid_current age user
    session_user
    """
)


class ExpressionError(Refused):
    """An expression that must not run on rows.

    :param sql: the expression as it was written.
    :param what: what is wrong with it.
    :param cure: what to write instead.
    """

    def __init__(self, sql: str, what: str, cure: str) -> None:
        self.sql, self.what, self.cure = sql, what, cure
        shown = sql if len(sql) <= 200 else f"{sql[:200]}…"
        super().__init__(f"The expression `{shown}` cannot be used: {what}. {cure}")


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    :param sql: its canonical text, for DuckDB; every column is quoted.
    :param columns: the columns that it reads, spelt as in the expression.
    """

    sql: str
    columns: frozenset[str]


@functools.lru_cache(maxsize=4096)
def check_expression(sql: str) -> Expression:
    """Check an SQL expression over the columns of one row.

    :raises ExpressionError: for everything that is not on the list of what is allowed: subqueries, aggregates, window
        functions, functions that are not deterministic or read files, several statements, placeholders, ….
    """
    tree = parse_sql(sql)
    columns: set[str] = set()
    for count, node in enumerate(tree.walk()):
        if count >= MOST_NODES:
            raise ExpressionError(sql, f"it has more than {MOST_NODES} parts", "Split it into several features.")
        check_node(sql, node)
        if type(node).__name__ == "Column":
            columns.add(node.name)
    return Expression(written_anew(sql, tree), frozenset(columns))


@functools.lru_cache(maxsize=4096)
def substitute(sql: str, columns: tuple[tuple[str, str], ...]) -> Expression:
    """Check an expression in which other expressions take the place of columns, all at once.

    :param columns: a column's name and the SQL that takes its place.
    :raises ExpressionError: as :func:`check_expression`, also for what comes out, which may be too long.
    """
    from sqlglot import exp

    parts = {name: exp.Paren(this=parse_sql(check_expression(text).sql)) for name, text in columns}
    if parts.keys().isdisjoint(check_expression(sql).columns):
        return check_expression(sql)
    tree = parse_sql(sql).transform(
        lambda node: parts[node.name].copy() if isinstance(node, exp.Column) and node.name in parts else node
    )
    try:
        return check_expression(tree.sql(dialect="duckdb", identify=True, comments=False))
    except ExpressionError as error:
        raise ExpressionError(sql, f"with its cleaned columns {error.what}", error.cure) from None


def conjuncts(sql: str) -> list[Expression]:
    """The conditions that a checked condition joins by AND; all of them hold where it holds.

    :raises ExpressionError: as :func:`check_expression`.
    """
    from sqlglot import exp

    tree = parse_sql(sql)
    parts = list(tree.flatten()) if isinstance(tree, exp.And) else [tree]
    return [check_expression(part.sql(dialect="duckdb", identify=True)) for part in parts]


def parse_sql(sql: str) -> exp.Expr:
    """The syntax tree of one statement or expression, in DuckDB's dialect.

    :raises ExpressionError: if it is too long, empty, several, or cannot be parsed.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    if len(sql) > LONGEST:
        raise ExpressionError(sql, f"it is longer than {LONGEST} characters", "Split it into several features.")
    if "\0" in sql:
        raise ExpressionError(sql, "it contains a null character", "Remove it.")
    if any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise ExpressionError(sql, "it contains half of a surrogate pair", "Write the character itself.")
    try:
        trees = sqlglot.parse(sql, read="duckdb", error_message_context=0)
    except SqlglotError as error:
        details: dict[str, Any] = (getattr(error, "errors", None) or [{}])[0]
        where = f" at column {details['col']}" if details.get("col") else ""
        what = f"it cannot be parsed{where}"
        raise ExpressionError(sql, what, _SYNTAX_CURE) from None
    except RecursionError:
        raise ExpressionError(sql, "it is nested too deep", "Split it into several features.") from None
    if len(trees) != 1:
        raise ExpressionError(sql, "it holds several statements", "Write one expression, without a semicolon.")
    if trees[0] is None:
        raise ExpressionError(sql, "it is empty", "Write an SQL expression, such as the name of a column.")
    return _with_negations_closed(trees[0])


def _with_negations_closed(tree: exp.Expr) -> exp.Expr:
    """The tree with parentheses around what a minus negates: of ``-mod(a, b)`` the parser makes an operator without."""
    from sqlglot import exp

    for negation in list(tree.find_all(exp.Neg)):
        if isinstance(negation.this, exp.Binary):
            negation.set("this", exp.Paren(this=negation.this))
    return tree


def written_anew(sql: str, tree: exp.Expr) -> str:
    """The canonical text of a checked tree, for DuckDB.

    :raises ExpressionError: if that text cannot be read, such as that of a function without what it needs.
    """
    text: str = tree.sql(dialect="duckdb", identify=True, comments=False)
    try:
        parse_sql(text)
    except ExpressionError:
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        raise ExpressionError(sql, f"it would be `{shown}`, which is no SQL", _SYNTAX_CURE) from None
    return text


def check_node(sql: str, node: exp.Expr) -> None:
    """Hold one node of a syntax tree against what a row expression may be made of.

    :raises ExpressionError: if it is something else.
    """
    kind = type(node).__name__
    if kind in _TYPED_FUNCTIONS:
        return
    if kind in _OPERATORS:
        _check_operator(sql, kind, node)
        return
    if kind == "Anonymous" and isinstance(node.this, str) and node.name.lower() in _NAMED_FUNCTIONS:
        return
    raise ExpressionError(sql, *_refusal(node))


def _check_operator(sql: str, kind: str, node: exp.Expr) -> None:
    if kind == "Column" and (node.args.get("table") is not None or type(node.this).__name__ != "Identifier"):
        name = node.sql(dialect="duckdb")
        raise ExpressionError(sql, f"`{name}` is a qualified name", "Name columns without a table or a field.")
    if kind == "In" and node.args.get("query") is not None:
        raise ExpressionError(sql, *_refusal(node.args["query"]))
    if kind == "In" and not node.expressions:
        raise ExpressionError(sql, "IN is not followed by a list of values", "Write `x IN (1, 2)`.")
    if kind == "DataType" and node.this.name not in _TYPES | {"INTERVAL"}:
        known = ", ".join(sorted(_TYPES - {"INT128", "TEXT", "TIMESTAMPNTZ"}))
        raise ExpressionError(sql, f"a cast to {node.sql(dialect='duckdb')} is not allowed", f"The types are: {known}.")


def _refusal(node: exp.Expr) -> tuple[str, str]:
    from sqlglot import exp

    shown = node.sql(dialect="duckdb", comments=False)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    if isinstance(node, exp.Query | exp.Subquery | exp.Exists):
        return f"`{shown}` is a subquery", "An expression sees one row; take what it needs into the source's columns."
    if isinstance(node, exp.Window):
        return f"`{shown}` is a window function", "An expression sees one row; compute it in the source instead."
    if isinstance(node, exp.AggFunc):
        return f"`{shown}` is an aggregate", "An expression sees one row; compute it in the source instead."
    if isinstance(node, exp.Star | exp.Columns):
        return f"`{shown}` stands for many columns", "Name the one column that is meant."
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return f"`{shown}` is a placeholder", "Write the value itself."
    if isinstance(node, exp.Alias):
        return f"`{shown}` gives a name with AS", "The key is the feature's name; remove AS and what follows."
    if isinstance(node, exp.Func) and (name := _function_name(node)).isidentifier():
        return _function_refusal(name)
    if isinstance(
        node, exp.DDL | exp.DML | exp.Command | exp.Install | exp.Attach | exp.Set | exp.Pragma | exp.Copy | exp.Drop
    ):
        return "it is a statement, not an expression", "Write one expression over the row's columns."
    return f"`{shown}` is not allowed", (
        "Use columns, literals, operators, CASE, CAST, IN, BETWEEN, LIKE and the functions in include/models/README.md."
    )


def _function_name(node: Any) -> str:
    text: str = node.sql(dialect="duckdb", comments=False)
    return text.partition("(")[0].strip().lower()


def _function_refusal(name: str) -> tuple[str, str]:
    if name in _UNCERTAIN or name.startswith(("current_", "local")):
        cure = "The same row must always give the same value; use the event time or another column."
        return f"{name} is not deterministic", cure
    near = choose(name, FUNCTIONS, kind="functions", cutoff=0.75).partition(" The functions are:")[0]
    near = f"{near} " if near.startswith("Did you mean") else ""
    return f"the function {name} is not allowed", f"{near}include/models/README.md lists those that are."
