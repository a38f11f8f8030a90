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
DELTA = """\
  type: delta
  path: "{store}/warehouse/flights"
  filter: "country = 'DE'"
  arrives_after: 2h
"""
JOINED = (
    FILES
    + """\
  tables:
    airports: {path: "{store}/airports/*.csv"}
    weather: {path: "{store}/weather/{partition}.txt", format: csv}
    routes: {type: delta, path: /warehouse/routes}
  query: >-
    SELECT s.*, w.rain FROM source s LEFT JOIN airports a USING (iata) LEFT JOIN weather w ON w.iata = s.iata
    WHERE s.route IN (SELECT route FROM routes)
"""
)
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


def test_a_delta_table_is_a_source(load: Load) -> None:
    source = load((FILES, DELTA)).source
    assert (source.type, source.path) == ("delta", "{store}/warehouse/flights")
    assert (source.filter, source.arrives_after) == ("country = 'DE'", timedelta(hours=2))


@pytest.mark.parametrize("driver", [JOINED, JOINED.replace(FILES, DELTA)])
def test_tables_are_joined_by_a_query(load: Load, driver: str) -> None:
    source = load((FILES, driver)).source
    assert {name: (one.type, one.format) for name, one in source.tables.items()} == {
        "airports": ("files", None), "weather": ("files", "csv"), "routes": ("delta", None),
    }  # fmt: skip
    assert str(source.query).startswith("SELECT s.*, w.rain FROM source s")


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
    "a folder of a database": (
        (FILES, SQL + '  path: "/a"\n'), 9, "source.path", "sources of type files and delta",
    ),
    "tables of a database": (
        (FILES, SQL + "  tables: {a: {path: /a.csv}}\n"), 9, "source.tables", "write the joins into `query`",
    ),
    "a filter of files": ((FILES, FILES + "  filter: a = 1\n"), 8, "source.filter", "`type: sql` or `type: delta`"),
    "a delay of files": ((FILES, FILES + "  arrives_after: 1h\n"), 8, "source.arrives_after", "of type sql and delta"),
    "a chunk of files": ((FILES, FILES + "  chunk: 1h\n"), 8, "source.chunk", "write `type: sql`"),
    "queries at once of files": ((FILES, FILES + "  parallel: 2\n"), 8, "source.parallel", "write `type: sql`"),
    "a connection of files": ((FILES, FILES + "  connection: a\n"), 8, "source.connection", "write `type: sql`"),
    "a relative path": ((FILES, FILES.replace("{store}/", "")), 7, "source.path", "Start it with {store}/ or /"),
    "a path upwards": ((FILES, FILES.replace("landing", "..")), 7, "source.path", "Write the folder itself"),
    "a wrong placeholder": (
        (FILES, FILES.replace("{partition}", "{partitions}")), 7, "source.path", "Did you mean `{partition}`?",
    ),
    "no known format": (
        (FILES, FILES.replace(".parquet", ".txt")), 7, "source.path", "or add `format: csv`",
    ),
    "an unknown format": ((FILES, FILES + "  format: xls\n"), 8, "source.format", "parquet"),
    "a delta table without a path": (
        (FILES, "  type: delta\n"), 5, "source.path", "such as {store}/warehouse/orders",
    ),
    "a delta table for each partition": (
        (FILES, DELTA.replace("flights", "{partition}")), 7, "source.path", "Write the table's own folder",
    ),
    "a format of a delta table": ((FILES, DELTA + "  format: csv\n"), 10, "source.format", "write `type: files`"),
    "a table of a delta table": ((FILES, DELTA + "  table: a\n"), 10, "source.table", "write `type: sql`"),
    "a filter that is no condition on a row": (
        (FILES, DELTA.replace("country = 'DE'", "a IN (SELECT b FROM c)")), 8, "source.filter", "is a subquery",
    ),
    "tables without a query": (
        (FILES, JOINED[: JOINED.index("  query")]), 8, "source.tables", "Add `query`: one SELECT from `source`",
    ),
    "a table's name": (
        (FILES, JOINED.replace("airports:", "source:")), 9, "source.tables.source", "is the driving table itself",
    ),
    "a table without a path": (
        (FILES, JOINED.replace('{path: "{store}/airports/*.csv"}', "{}")), 9, "source.tables.airports.path", "missing",
    ),
    "an unknown type of a table": (
        (FILES, JOINED.replace("type: delta", "type: sql")), 11, "source.tables.routes.type", "delta",
    ),
    "a table's relative path": (
        (FILES, JOINED.replace("/warehouse/routes", "routes")), 11, "source.tables.routes.path", "Start it with",
    ),
    "a delta table for each partition to join": (
        (FILES, JOINED.replace("/warehouse/routes", '"/routes/{partition}"')), 11, "source.tables.routes.path",
        "without {partition}",
    ),
    "a format of a delta table to join": (
        (FILES, JOINED.replace("/warehouse/routes", "/routes, format: csv")), 11, "source.tables.routes.format",
        "belongs to tables of type files",
    ),
    "a table of an unknown format": (
        (FILES, JOINED.replace(", format: csv", "")), 10, "source.tables.weather.path", "does not tell the format",
    ),
    "an unknown key of a table": (
        (FILES, JOINED.replace("type: delta", "kind: delta")), 11, "source.tables.routes.kind", "there is no such key",
    ),
    "a table that is not declared": (
        (FILES, JOINED.replace("JOIN weather w", "JOIN wether w")), 12, "source.query", "Did you mean `weather`?",
    ),
    "a table that is not read": (
        (FILES, JOINED.replace("(SELECT route FROM routes)", "('a')")), 11, "source.tables.routes", "or remove it",
    ),
    "a query without the driving table": (
        (FILES, JOINED.replace("source s", "airports s")), 12, "source.query", "does not read `source`",
    ),
    "a query that reads a file": (
        (FILES, JOINED.replace("FROM routes", "FROM read_csv('/etc/passwd')")), 12, "source.query",
        "a function in place of a table",
    ),
    "an unknown size": (("partition: day", "partition: week"), 8, "source.partition", "hour"),
    "an unknown zone": (("America/New_York", "America/New_Work"), 9, "source.time_zone", "no time zone"),
    "no day": (("starts: 2013-01-01", "starts: 2013-02-30"), 10, "source.starts", "is not a day"),
    "no first day": (("  starts: 2013-01-01\n", ""), 5, "source.starts", "Add `starts`"),
    "an end before the start": (
        ("starts: 2013-01-01", "starts: 2013-01-01\n  ends: 2012-01-01"), 11, "source.ends", "ends before it starts",
    ),
    "an event time that is no column": (("event_time: at", "event_time: att"), 11, "source.event_time", "`at`"),
    "an event time that is no time": (
        ("event_time: at", "event_time: carrier"), 11, "source.event_time", "must have the type timestamp",
    ),
    "an entity that is no column": (("entity: [id, at]", "entity: [ident]"), 12, "source.entity[0]", "no column"),
    "no entity": (("entity: [id, at]", "entity: []"), 12, "source.entity", "Write at least one"),
    "a column of an unknown type": (
        ("distance: number", "distance: float"), 17, "source.columns.distance", "number",
    ),
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
