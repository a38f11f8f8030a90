"""What people write into definitions as SQL: rows' expressions, queries over joined tables."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import duckdb

from include.features.compiled.values import NotCompiled
from include.spec.expressions import FUNCTIONS, ExpressionError, check_expression
from include.spec.queries import check_query
from tests.features.compiled.engine import ARROW, COLUMNS, KINDS, Comparison
from tests.fuzz.target import Broken, Target

#: What an expression may do on rows that do not suit it.
_DATA_FAULTS: Final = (
    duckdb.BinderException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
)


def expression(data: bytes) -> None:
    """Refused, or the same when it is checked again, and for DuckDB a sound one that means what was written."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        checked = check_expression(text)
    except ExpressionError as error:
        f"{error}".encode("utf-8", "surrogateescape")
        return
    again = check_expression(checked.sql)
    if (again.sql, again.columns) != (checked.sql, checked.columns):
        raise Broken(f"{checked.sql!r} is {again.sql!r} when it is checked again")
    if not {name.casefold() for name in checked.columns} <= COLUMNS.keys():
        return
    answers = _answers(checked.sql)
    written = _answers(text)
    if answers is not None and written is not None and answers != written:
        raise Broken(f"{text!r} gives {written}, but {checked.sql!r} gives {answers}")


def compiled(data: bytes) -> None:
    """What is compiled answers as DuckDB does."""
    try:
        text = data.decode()
        checked = check_expression(text)
    except (UnicodeDecodeError, ExpressionError):
        return
    if not checked.columns or not checked.columns <= COLUMNS.keys():
        return
    for kind in ("DOUBLE", "VARCHAR", "BOOLEAN"):
        try:
            different, _ = _comparison().differences(text, kind, _comparison().rows(text, combined=20))
        except (NotCompiled, *_DATA_FAULTS):
            continue
        if different:
            raise Broken(f"{text!r} as {kind}: {different[0]}")
        return


def query(data: bytes) -> None:
    """Refused, or the same when it is checked again, and for DuckDB one SELECT of nothing but the declared tables."""
    text = data.decode("utf-8", "surrogateescape")
    tables = frozenset({"source", "airports"})
    try:
        checked = check_query(text, tables)
    except ExpressionError:
        return
    if not checked.tables <= tables:
        raise Broken(f"it reads {checked.tables}")
    again = check_query(checked.sql, tables)
    if (again.sql, again.tables) != (checked.sql, checked.tables):
        raise Broken(f"{checked.sql!r} is {again.sql!r} when it is checked again")
    try:
        _engine().execute(f"EXPLAIN {checked.sql}").fetchall()
    except (*_DATA_FAULTS, duckdb.ParserException):
        return


@cache
def _comparison() -> Comparison:
    return Comparison()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB without files or network, with the tables of the tests."""
    import pyarrow as pa

    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    rows = _comparison().rows("i", combined=20)
    columns = {
        name: pa.array([row[place] for row in rows], ARROW[kind]) for place, (name, kind) in enumerate(COLUMNS.items())
    }
    connection.register("given", pa.table(columns))
    connection.execute("CREATE TABLE source AS SELECT * FROM given ORDER BY ALL")
    items = ", ".join(f"NULL::{KINDS[kind]} AS {name}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE airports AS SELECT {items}")
    connection.execute("SET enable_external_access = false")
    return connection


def _answers(sql: str) -> list[str] | None:
    """What DuckDB makes of an expression on the rows; None if these do not suit it."""
    try:
        found: list[tuple[Any, ...]] = _engine().execute(f"SELECT ({sql}) FROM source").fetchall()
    except (*_DATA_FAULTS, duckdb.ParserException, duckdb.CatalogException, UnicodeEncodeError):
        return None
    return [repr(row[0]) for row in found]


_EXPRESSIONS: Final = [
    "arr_delay > 15",
    "(i // 100) * 60 + i % 100",
    "CASE WHEN s LIKE 'a%' THEN x ELSE y END",
    "coalesce(TRY_CAST(u AS BIGINT), i) IN (1, 2, NULL)",
    "date_trunc('hour', t) = w - INTERVAL 1 DAY",
    "b AND NOT d OR x IS NOT DISTINCT FROM y",
    "round(x, 2)::DECIMAL(10, 2) BETWEEN -1.5e3 AND .5",
    "extract(hour FROM t) + date_part('dow', w)",
    "s || u || chr(10)",
    "(SELECT max(x) FROM read_csv('/etc/passwd'))",
    '"x" -- comment\n + /* another */ 1',
    "x ** 2 + i & j | ~i << 2",
    "substring(s, 2, 3) = s[1:2]",
]
_QUERIES: Final = [
    "SELECT s.*, a.x FROM source s LEFT JOIN airports a USING (i)",
    "FROM source JOIN airports USING (s)",
    "WITH a AS (SELECT i, count(*) AS n FROM airports GROUP BY i) SELECT * FROM source s, a WHERE s.i = a.i",
    "SELECT *, rank() OVER (PARTITION BY s ORDER BY t) AS r FROM source QUALIFY r = 1",
    "SELECT * FROM source UNION ALL SELECT * FROM airports EXCEPT SELECT * FROM source WHERE b",
    "SELECT * FROM read_csv('/etc/passwd')",
]
_WORDS: Final = [word.encode() for word in FUNCTIONS] + [
    b"CASE ", b" WHEN ", b" THEN ", b" ELSE ", b" END", b"CAST(", b"TRY_CAST(", b" AS ", b"::", b" IN (", b" BETWEEN ",
    b" LIKE ", b" ILIKE ", b" ESCAPE ", b" IS NULL", b" IS NOT DISTINCT FROM ", b"INTERVAL ", b" AND ",
    b" OR ", b"NOT ",
    b"//", b"%", b"||", b"**", b"<<", b"~", b"^", b"'", b'"', b"--", b"/*", b"*/", b"$$", b"E'", b"x'", b"->", b"->>",
    b"SELECT ", b" FROM ", b" JOIN ", b" USING (", b" ON ", b" GROUP BY ", b" OVER (", b" PARTITION BY ", b" ORDER BY ",
    b"DISTINCT ", b"count(*)", b"*", b"EXCLUDE (", b"COLUMNS(", b"FILTER (", b"COLLATE NOCASE", b" AT TIME ZONE 'UTC'",
    b"TRUE", b"NULL", b"DATE '2013-01-01'", b"TIMESTAMP ", b"DECIMAL(18, 3)", b"0x1F", b"1_000", b"1e400", b"?",
    b"$1", b":a",
    b"[1, 2]", b"{'a': 1}", b"x -> x", b"GLOB ", b"SIMILAR TO ", b"!~~", b"@", b"!", b" source", b" airports", b";",
]  # fmt: skip
TARGETS: Final = (
    Target(
        name="expression",
        check=expression,
        seeds=lambda: [text.encode() for text in _EXPRESSIONS],
        words=_WORDS,
        longest=400,
    ),
    Target(
        name="compiled",
        check=compiled,
        seeds=lambda: [text.encode() for text in _EXPRESSIONS],
        words=_WORDS,
        longest=200,
    ),
    Target(name="query", check=query, seeds=lambda: [text.encode() for text in _QUERIES], words=_WORDS, longest=600),
)
