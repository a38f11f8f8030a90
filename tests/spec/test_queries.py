"""Queries over a source's own tables: what may be asked, and what a refusal says."""

from __future__ import annotations

import pytest
import yaml

from include.spec.expressions import ExpressionError
from include.spec.queries import check_query
from include.spec.reference import reference_page

TABLES = frozenset({"source", "shops", "prices"})

GOOD = [
    'SELECT s.*, p.price FROM source s LEFT JOIN prices p ON p.shop = s.shop AND s."at" BETWEEN p.low AND p.high',
    "SELECT * EXCLUDE (a), upper(b) AS b FROM source JOIN shops USING (shop)",
    "WITH newest AS (SELECT shop, max(day) AS day FROM prices GROUP BY shop), two AS (SELECT * FROM newest) "
    "SELECT s.*, two.day FROM source s JOIN two USING (shop)",
    "SELECT * FROM source QUALIFY rank() OVER (PARTITION BY shop ORDER BY sent DESC) = 1",
    "SELECT s.*, (SELECT count(*) FROM prices p WHERE p.shop = s.shop) AS known FROM source s",
    "SELECT shop, sum(CAST(price AS DECIMAL(18, 2))), avg(CAST(n AS BIGINT)), bool_or(x), count(DISTINCT y) "
    "FROM source GROUP BY ALL HAVING count(*) > 1",
    "SELECT a FROM source UNION ALL SELECT a FROM shops EXCEPT SELECT a FROM prices",
    "SELECT * FROM source s ANTI JOIN shops p USING (shop) WHERE EXISTS (SELECT 1 FROM prices) ORDER BY 1",
    "SELECT count(*) FILTER (WHERE a > 1) OVER (PARTITION BY b) AS n FROM source",
]

BAD = {
    "another table": ("SELECT * FROM orders", "there is no table 'orders'"),
    "a file": ("SELECT * FROM '/etc/passwd'", "there is no table '/etc/passwd'"),
    "a function that reads files": ("SELECT * FROM read_csv('/etc/passwd')", "a function in place of a table"),
    "a function that reads texts of SQL": ("SELECT * FROM query('SELECT 1')", "a function in place of a table"),
    "the catalog": ("SELECT * FROM information_schema.tables", "is a qualified name"),
    "a scalar function that reads the machine": ("SELECT getenv('HOME') FROM source", "getenv is not allowed"),
    "a file by the name of WITH": ('WITH "/a.csv" AS (SELECT 1 AS x) SELECT * FROM source', "cannot be a name in WITH"),
    "a table hidden by WITH": ("WITH shops AS (SELECT 1 AS x) SELECT * FROM source", "cannot be a name in WITH"),
    "a name of WITH before it is there": (
        "WITH a AS (SELECT * FROM duckdb_settings), duckdb_settings AS (SELECT 1 AS x) SELECT * FROM source, a",
        "there is no table 'duckdb_settings'",
    ),
    "a name of WITH where it is not known": (
        "SELECT * FROM (WITH pg_class AS (SELECT 1 AS x) SELECT * FROM pg_class), pg_class, source",
        "WITH is recursive or inside of the query",
    ),
    "recursion": ("WITH RECURSIVE a AS (SELECT 1 AS x) SELECT * FROM source, a", "WITH is recursive"),
    "chance": ("SELECT random() AS x FROM source", "random is not deterministic"),
    "the time of day": ("SELECT now() AS x FROM source", "now is not deterministic"),
    "the day": ("SELECT current_date AS x FROM source", "current_date is not deterministic"),
    "a limit": ("SELECT * FROM source LIMIT 3", "which rows stay"),
    "a limit within": ("SELECT * FROM (SELECT * FROM source LIMIT 3)", "which rows stay"),
    "a sample": ("SELECT * FROM source USING SAMPLE 3", "which rows stay"),
    "row numbers": ("SELECT row_number() OVER (ORDER BY a) AS x FROM source", "which of equal rows come first"),
    "neighbours": ("SELECT lag(a) OVER (ORDER BY b) AS x FROM source", "which of equal rows come first"),
    "a frame of rows": (
        "SELECT count(*) OVER (ORDER BY a ROWS 2 PRECEDING) AS x FROM source", "which of equal rows come first",
    ),
    "whichever is first": ("SELECT first(a) AS x FROM source", "which row comes first"),
    "any value": ("SELECT any_value(a) AS x FROM source", "which row is taken"),
    "the value at the greatest": ("SELECT arg_max(a, b) AS x FROM source", "which of equal rows is taken"),
    "the two greatest": ("SELECT max(a, 2) AS x FROM source", r"Of several columns use greatest\(\)"),
    "lists": ("SELECT list(a) AS x FROM source", "cannot be used"),
    "texts put together": ("SELECT string_agg(a, ',') AS x FROM source", "cannot be used"),
    "sums of floating point numbers": ("SELECT sum(a) AS x FROM source", r"Write sum\(CAST\(… AS DECIMAL"),
    "means of floating point numbers": ("SELECT avg(CAST(a AS DOUBLE)) AS x FROM source", "depends on the order"),
    "the nearest row": ("SELECT * FROM source ASOF JOIN prices USING (shop, day)", "ASOF JOIN takes whichever"),
    "joins by place": ("SELECT * FROM source POSITIONAL JOIN shops", "POSITIONAL JOIN is not allowed"),
    "joins by chance of names": ("SELECT * FROM source NATURAL JOIN shops", "NATURAL JOIN is not allowed"),
    "one of each": ("SELECT DISTINCT ON (a) * FROM source", "DISTINCT ON keeps whichever"),
    "lists to rows": ("SELECT unnest(a) AS x FROM source", "unnest is not allowed"),
    "another version": ("SELECT * FROM source AT (VERSION => 1)", "is not allowed"),
    "a change": ("DELETE FROM source", "it is no SELECT"),
    "a copy": ("COPY source TO '/tmp/x.csv'", "it is no SELECT"),
    "two statements": ("SELECT * FROM source; SELECT 2", "several statements"),
    "no SQL": ("SELECT FROM WHERE", "cannot be parsed"),
    "nothing": ("  ", "it is empty"),
    "a setting": ("SET enable_external_access = true", "it is no SELECT"),
    "too many parts": ("SELECT a FROM source" + " WHERE a IN (" + ", ".join(["1"] * 1250) + ")" , "more than"),
}  # fmt: skip


def test_the_query_of_the_reference_is_a_good_one() -> None:
    text = reference_page().split("## Several tables")[1].split("```")[1].removeprefix("yaml")
    source = yaml.safe_load(text)["source"]
    assert check_query(source["query"], frozenset({"source", *source["tables"]})).tables == {
        "source",
        *source["tables"],
    }


@pytest.mark.parametrize("sql", GOOD)
def test_joins_of_declared_tables_are_written_anew(sql: str) -> None:
    checked = check_query(sql, TABLES)
    assert "source" in checked.tables
    assert check_query(checked.sql, TABLES) == checked


@pytest.mark.parametrize("case", BAD)
def test_everything_else_is_refused(case: str) -> None:
    sql, words = BAD[case]
    with pytest.raises(ExpressionError, match=words) as caught:
        check_query(sql, TABLES)
    assert caught.value.cure.endswith((".", "…"))
