"""Kinds of source: what each may say, and what a mistake is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from include.spec.definition import Definition
from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import VALID, Write

FILES = """\
  type: files
  path: "{store}/landing/{partition}.parquet"
"""
SQL = """\
  type: sql
  connection: warehouse
  table: sales.orders
"""
QUERY = """\
  type: sql
  connection: warehouse
  query: >-
    SELECT o.*, 'a;b -- c' AS note FROM orders o JOIN shops s USING (shop)
  filter: "country = 'DE'"
  arrives_after: 10m
  chunk: 1h
  parallel: 8
"""
Load = Callable[..., Definition]


def test_a_table_is_a_source(load: Load) -> None:
    source = load((FILES, SQL)).source
    assert (source.type, source.connection, source.table) == ("sql", "warehouse", "sales.orders")
    assert (source.arrives_after, source.chunk, source.parallel) == (timedelta(0), None, 4)


def test_a_query_with_all_keys_is_a_source(load: Load) -> None:
    source = load((FILES, QUERY)).source
    assert "JOIN shops" in str(source.query)
    assert (source.filter, source.arrives_after) == ("country = 'DE'", timedelta(minutes=10))
    assert (source.chunk, source.parallel) == (timedelta(hours=1), 8)


BAD: dict[str, tuple[tuple[str, str], int, str, str]] = {
    "unknown type": (("type: files", "type: file"), 6, "source.type", "Did you mean `files`?"),
    "no path": (('  path: "{store}/landing/{partition}.parquet"\n', ""), 5, "source.path", "Add `path`"),
    "a table of files": (("type: files", "type: files\n  table: orders"), 7, "source.table", "write `type: sql`"),
    "no connection": (
        (FILES, SQL.replace("  connection: warehouse\n", "")), 5, "source.connection", "Add `connection`",
    ),
    "an address": (
        (FILES, SQL.replace("warehouse", '"postgresql://u:s3cret@h/d"')), 7, "source.connection", "stay in Airflow",
    ),
    "no rows": ((FILES, SQL.replace("  table: sales.orders\n", "")), 5, "source.table", "Add `table`, or `query`"),
    "table and query": ((FILES, SQL + "  query: SELECT 1\n"), 9, "source.query", "Keep one of the two"),
    "a path of a database": ((FILES, SQL + '  path: "/a.csv"\n'), 9, "source.path", "write `type: files`"),
    "a format of a database": ((FILES, SQL + "  format: csv\n"), 9, "source.format", "sources of type files"),
    "table with tricks": (
        (FILES, SQL.replace("sales.orders", "orders; drop")), 8, "source.table", "without quotes",
    ),
    "no select": (
        (FILES, SQL.replace("table: sales.orders", "query: DELETE FROM orders")), 8, "source.query", "only reads",
    ),
    "two statements": (
        (FILES, SQL.replace("table: sales.orders", "query: SELECT 1; SELECT 2")), 8, "source.query", "a semicolon",
    ),
    "a comment": (
        (FILES, SQL.replace("table: sales.orders", "query: SELECT 1 -- all")), 8, "source.query", "or a comment",
    ),
    "empty filter": ((FILES, SQL + '  filter: " "\n'), 9, "source.filter", "Write one condition"),
    "filter that goes on": ((FILES, SQL + '  filter: "a = 1; b"\n'), 9, "source.filter", "no condition on rows"),
    "empty chunk": ((FILES, SQL + "  chunk: 0s\n"), 9, "source.chunk", "such as 1h"),
    "no query at once": ((FILES, SQL + "  parallel: 0\n"), 9, "source.parallel", "at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_source_names_line_key_and_cure(case: str, write: Write) -> None:
    change, line, key, words = BAD[case]
    path = write(change)
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    print(caught.value)
    matching = [problem for problem in caught.value.problems if (problem.line, problem.key) == (line, key)]
    assert matching, str(caught.value)
    assert any(words in problem.at(path) for problem in matching), str(caught.value)


def test_an_address_in_a_definition_is_not_repeated(write: Write) -> None:
    assert FILES in VALID
    with pytest.raises(DefinitionError) as caught:
        load_definition(write((FILES, SQL.replace("warehouse", '"postgresql://u:s3cret@h/d"'))))
    assert "s3cret" not in str(caught.value)
