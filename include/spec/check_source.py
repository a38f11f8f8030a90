"""Checks of a definition's source: each type has keys of its own; a path, a table, a query are what they must be."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Final

from include.spec.definition import Definition, Source
from include.spec.problems import Finding, choose

_KEYS: Final = {
    "files": ("path", "format"),
    "sql": ("connection", "table", "query", "filter", "arrives_after", "chunk", "parallel"),
}
_TABLE: Final = re.compile(r"[^.\s\"'`;]+(\.[^.\s\"'`;]+){0,2}")
_SELECT: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_SHORTEST_CHUNK: Final = timedelta(seconds=1)


def source_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with where the raw data comes from."""
    source = definition.source
    for kind, names in _KEYS.items():
        if kind != source.type:
            yield from _foreign_keys(source, kind, names)
    yield from _path(source) if source.type == "files" else _database(source)


def _foreign_keys(source: Source, kind: str, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        if name in source.model_fields_set:
            cure = f"Remove it, or write `type: {kind}`."
            yield Finding(("source", name), f"this key belongs to sources of type {kind}", cure)


def _path(source: Source) -> Iterator[Finding]:
    path, keys = source.path, ("source", "path")
    if not path:
        cure = "Add `path`, such as {store}/landing/orders/{partition}.parquet."
        yield Finding(keys, "this key is missing", cure)
        return
    try:
        parts = list(string.Formatter().parse(path))
    except ValueError as error:
        yield Finding(keys, f"the path cannot be read ({error})", "Close each brace, as in {partition}.")
        return
    for _, name, form, conversion in parts:
        if name is not None and (name not in ("store", "partition") or form or conversion):
            cure = choose(name, ("{store}", "{partition}"), kind="placeholders")
            yield Finding(keys, f"there is no placeholder {{{name}}}", cure)
    if not path.startswith(("{store}/", "/")):
        yield Finding(keys, "the path is relative", "Start it with {store}/ or /.")
    if ".." in PurePosixPath(path).parts:
        yield Finding(keys, "the path goes up with `..`", "Write the folder itself.")
    if source.format is None and not path.endswith((".parquet", ".csv", ".csv.gz")):
        cure = "End the path with .parquet, .csv or .csv.gz, or add `format: csv`."
        yield Finding(keys, "the path's ending does not tell the format", cure)


def _database(source: Source) -> Iterator[Finding]:
    if source.connection is None:
        cure = "Add `connection`: the id of an Airflow connection; never an address with a password."
        yield Finding(("source", "connection"), "this key is missing", cure)
    if source.table is None and source.query is None:
        yield Finding(("source", "table"), "the source names no rows", "Add `table`, or `query` with one SELECT.")
    if source.table is not None and source.query is not None:
        yield Finding(("source", "query"), "there are a table and a query", "Keep one of the two.")
    if source.table is not None and not _TABLE.fullmatch(source.table):
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
