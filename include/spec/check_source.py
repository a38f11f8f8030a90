"""Checks of a definition's source: each type has keys of its own; a path, a table, a query are what they must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from include.spec.check_tables import path_findings, table_findings
from include.spec.definition import Definition, Source
from include.spec.problems import Finding

_TYPES_OF_KEYS: Final = {
    "path": ("files", "delta"),
    "format": ("files",),
    "connection": ("sql",),
    "table": ("sql",),
    "tables": ("files", "delta"),
    "filter": ("sql", "delta"),
    "arrives_after": ("sql", "delta"),
    "chunk": ("sql",),
    "parallel": ("sql",),
}
SQL_TABLE: Final = re.compile(r"[^.\s\"'`;]+(\.[^.\s\"'`;]+){0,2}")
_SELECT: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_SHORTEST_CHUNK: Final = timedelta(seconds=1)


def source_findings(definition: Definition, *, expressions: bool) -> Iterator[Finding]:
    """What is wrong with where the raw data comes from.

    :param expressions: whether the SQL that DuckDB is to run is parsed.
    """
    source = definition.source
    yield from _foreign_keys(source)
    if source.type == "sql":
        yield from _database(source)
        return
    yield from path_findings(("source", "path"), source.path, source.type, source.format)
    yield from table_findings(source, expressions=expressions)
    if source.type == "delta":
        yield from _delta(source, expressions=expressions)


def _foreign_keys(source: Source) -> Iterator[Finding]:
    for name, types in _TYPES_OF_KEYS.items():
        if source.type in types or name not in source.model_fields_set:
            continue
        if name == "tables":
            what, cure = "a database joins by its own tables", "Remove it, and write the joins into `query`."
        else:
            what = f"this key belongs to sources of type {' and '.join(types)}"
            cure = f"Remove it, or write {' or '.join(f'`type: {one}`' for one in types)}."
        yield Finding(("source", name), what, cure)


def _delta(source: Source, *, expressions: bool) -> Iterator[Finding]:
    if source.filter is None or not expressions:
        return
    from include.spec.expressions import ExpressionError, check_expression

    try:
        check_expression(source.filter)
    except ExpressionError as error:
        yield Finding(("source", "filter"), error.what, error.cure)


def _database(source: Source) -> Iterator[Finding]:
    if source.connection is None:
        cure = "Add `connection`: the id of an Airflow connection; never an address with a password."
        yield Finding(("source", "connection"), "this key is missing", cure)
    if source.table is None and source.query is None:
        yield Finding(("source", "table"), "the source names no rows", "Add `table`, or `query` with one SELECT.")
    if source.table is not None and source.query is not None:
        yield Finding(("source", "query"), "there are a table and a query", "Keep one of the two.")
    if source.table is not None and not SQL_TABLE.fullmatch(source.table):
        cure = "Write it like orders or sales.orders, without quotes; for anything else write a `query`."
        yield Finding(("source", "table"), f"{source.table!r} is no name of a table", cure)
    if source.query is not None:
        yield from _query(source.query)
    if source.filter is not None and (not source.filter.strip() or _ends_early(source.filter)):
        cure = "Write one condition, such as: country = 'DE' AND cancelled IS NULL. It has no semicolon and no comment."
        yield Finding(("source", "filter"), "this is no condition on rows", cure)
    if source.chunk is not None and source.chunk < _SHORTEST_CHUNK:
        yield Finding(("source", "chunk"), "the chunk is empty", "Write how much time one query reads, such as 1h.")


def _query(query: str) -> Iterator[Finding]:
    keys = ("source", "query")
    if not _SELECT.match(query):
        yield Finding(keys, "the query does not begin with SELECT or WITH", "Write one SELECT; a source only reads.")
    elif _ends_early(query):
        yield Finding(keys, "the query holds a semicolon or a comment", "Write one SELECT, without them.")


def _ends_early(sql: str) -> bool:
    """Whether something in it, outside of texts, ends the statement or hides what is put behind it."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", sql)
    return any(mark in bare for mark in (";", "--", "/*"))
