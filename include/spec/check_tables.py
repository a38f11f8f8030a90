"""Checks of a source's tables: paths that can be read, names that a query can use, and the query that joins them."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import PurePosixPath

from include.spec.definition import Source
from include.spec.problems import Finding, KeyPath, choose
from include.spec.side_tables import DRIVER, TABLE_NAME

_PARTITION = "{partition}"


def path_findings(keys: KeyPath, path: str, kind: str, form: str | None) -> Iterator[Finding]:
    """What is wrong with the path of files or of a Delta table.

    :param keys: the key that it stands at.
    :param kind: files or delta.
    :param form: the files' format, if it is declared.
    """
    if not path:
        example = "{store}/landing/orders/{partition}.parquet" if kind == "files" else "{store}/warehouse/orders"
        yield Finding(keys, "this key is missing", f"Add `path`, such as {example}.")
        return
    try:
        parts = list(string.Formatter().parse(path))
    except ValueError as error:
        yield Finding(keys, f"the path cannot be read ({error})", "Close each brace, as in {partition}.")
        return
    for _, name, text, conversion in parts:
        if name is not None and (name not in ("store", "partition") or text or conversion):
            cure = choose(name, ("{store}", _PARTITION), kind="placeholders")
            yield Finding(keys, f"there is no placeholder {{{name}}}", cure)
    if not path.startswith(("{store}/", "/")):
        yield Finding(keys, "the path is relative", "Start it with {store}/ or /.")
    if ".." in PurePosixPath(path).parts:
        yield Finding(keys, "the path goes up with `..`", "Write the folder itself.")
    if kind == "delta":
        if _PARTITION in path:
            what = "a Delta table is one folder, which is read by the event time or as a whole"
            yield Finding(keys, what, "Write the table's own folder, without {partition}.")
    elif form is None and not path.endswith((".parquet", ".csv", ".csv.gz")):
        cure = "End the path with .parquet, .csv or .csv.gz, or add `format: csv`."
        yield Finding(keys, "the path's ending does not tell the format", cure)


def table_findings(source: Source, *, expressions: bool) -> Iterator[Finding]:
    """What is wrong with the further tables of files or of a Delta table, and with the query that joins them.

    :param expressions: whether the query is parsed.
    """
    for name, table in source.tables.items():
        keys: KeyPath = ("source", "tables", name)
        if name == DRIVER or not TABLE_NAME.fullmatch(name):
            cure = f"Use lower-case letters, digits and underscores; `{DRIVER}` is the driving table itself."
            yield Finding(keys, f"{name[:80]!r} cannot be a table's name", cure)
        yield from path_findings((*keys, "path"), table.path, table.type, table.format)
        if table.type == "delta" and table.format is not None:
            yield Finding((*keys, "format"), "this key belongs to tables of type files", "Remove it.")
        if _PARTITION in table.path and source.event_time is None:
            what = "the path has {partition}, but without an event_time the data is one whole"
            yield Finding((*keys, "path"), what, "Name the one file, or add source.event_time.")
    if source.query is None:
        if source.tables:
            cure = f"Add `query`: one SELECT from `{DRIVER}` and these tables."  # nosec B608 # a sentence
            yield Finding(("source", "tables"), "no query joins these tables", cure)
    elif expressions:
        yield from _query(source, source.query)


def _query(source: Source, query: str) -> Iterator[Finding]:
    from include.spec.expressions import ExpressionError
    from include.spec.queries import check_query

    keys = ("source", "query")
    try:
        read = check_query(query, frozenset({DRIVER, *source.tables})).tables
    except ExpressionError as error:
        yield Finding(keys, error.what, error.cure)
        return
    if DRIVER not in read:
        what = f"the query does not read `{DRIVER}`, the rows of source.path"
        yield Finding(keys, what, f"Join the other tables to it: … FROM {DRIVER} s LEFT JOIN ….")
    for name in source.tables:
        if name not in read:
            what = "the query does not read this table, but every partition would wait for it"
            yield Finding(("source", "tables", name), what, "Join it, or remove it.")
