"""Checks of structure, before any expectation: columns, types, event times. Each partition is judged alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from include.lake.connections import quote_name, quote_text
from include.lake.conversion import Conversion, conversion
from include.lake.source_files import SourceFile, scan_sql
from include.spec.definition import Definition

_EXAMPLES = 3
_TRUNCATED_AT = 60


def column_problem(file: SourceFile, definition: Definition) -> str | None:
    """What is wrong with a file's columns: declared ones that are not there; None if nothing."""
    missing = [name for name in definition.source.columns if name not in file.names]
    if not missing:
        return None
    close = [hit for name in missing for hit in difflib.get_close_matches(name, file.names, 1, 0.75)]
    near = f" (it has {', '.join(close)})" if close else ""
    return (
        f"{file.shown} lacks the column(s) {', '.join(missing)}{near}; deliver it with them, or take them out of "
        "source.columns."
    )


def column_notes(file: SourceFile, definition: Definition) -> tuple[str, ...]:
    """Remarks on a file's columns: those that the definition does not name are ignored."""
    new = [name for name in file.names if name not in definition.source.columns]
    return (f"columns that the definition does not name were ignored: {', '.join(new)}",) if new else ()


def conversions(connection: duckdb.DuckDBPyConnection, file: SourceFile, definition: Definition) -> list[Conversion]:
    """How each declared column is read from files with these columns."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan_sql([file])}").fetchall()  # nosec B608
    types = {row[0]: row[1] for row in described}
    zone = definition.source.time_zone
    return [conversion(name, kind, types[name], zone) for name, kind in definition.source.columns.items()]


@dataclass(frozen=True)
class Counts:
    """What a scan counted in one group of rows."""

    rows: int
    without_time: int
    outside: int
    bad: Mapping[str, int]


def count_faults(
    connection: duckdb.DuckDBPyConnection, relation: str, read: Sequence[Conversion], definition: Definition
) -> dict[int, Counts]:
    """Count rows and faults by group, in one scan.

    :param relation: a table expression with the source's columns, ``_group`` (integer) and ``_label`` (the start of
        the group's partition on the local clock).
    """
    time = _event_time(read, definition)
    filters = ["false", "false", *(item.bad for item in read)]
    if time is not None:
        outside = f"date_trunc({quote_text(definition.source.partition)}, {time}) <> _label"
        filters[:2] = [f"({time}) IS NULL", outside]
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in filters)
    rows = connection.execute(f"SELECT _group, count(*), {counts} FROM {relation} GROUP BY _group").fetchall()  # nosec B608
    return {
        row[0]: Counts(row[1], row[2], row[3], {c.name: n for c, n in zip(read, row[4:], strict=True) if n})
        for row in rows
    }


def fault_problem(
    connection: duckdb.DuckDBPyConnection,
    file: SourceFile,
    relation: str,
    read: Sequence[Conversion],
    definition: Definition,
    counts: Counts,
    *,
    again: str = "ingest the partition again",
    thing: str = "file",
) -> str | None:
    """The sentence for a group's faults, with examples from its file; None if there are none.

    :param relation: as for :func:`count_faults`, of this group only.
    :param again: what to do when the file is repaired.
    :param thing: what is to be repaired: the file, or the data in a database.
    """
    if counts.bad:
        return f"{_wrong_types(connection, file, relation, read, definition, counts)} Repair the {thing} and {again}."
    time = _event_time(read, definition)
    name = definition.source.event_time
    if time is None:
        return None
    if counts.without_time:
        rows = _examples(connection, relation, f"({time}) IS NULL", "NULL")
        return (
            f"{file.shown} has {counts.without_time} row(s) without {name}, the event time (row {_rows(rows)}); "
            f"without it a row belongs to no partition. Repair the {thing} and {again}."
        )
    if counts.outside:
        part = quote_text(definition.source.partition)
        rows = _examples(connection, relation, f"date_trunc({part}, {time}) <> _label", time)
        hidden = name in definition.serving.personal
        shown = f"row {_rows(rows)}" if hidden else ", ".join(f"row {row}: {value}" for row, value in rows)
        return (
            f"{file.shown} has {counts.outside} row(s) whose {name} lies outside the partition, on the clock of "
            f"{definition.source.time_zone} ({shown}). Deliver them in their own partition's file."
        )
    return None


def _wrong_types(
    connection: duckdb.DuckDBPyConnection,
    file: SourceFile,
    relation: str,
    read: Sequence[Conversion],
    definition: Definition,
    counts: Counts,
) -> str:
    parts = []
    for item in [item for item in read if item.name in counts.bad][:_EXAMPLES]:
        rows = _examples(connection, relation, item.bad, quote_name(item.name))
        hidden = item.name in definition.serving.personal
        shown = f"row {_rows(rows)}" if hidden else ", ".join(f"row {row}: {value!r}" for row, value in rows)
        kind = definition.source.columns[item.name]
        parts.append(f"column {item.name} is no {kind} in {counts.bad[item.name]} row(s) ({shown})")
    return f"{file.shown} has wrongly typed values: {'; '.join(parts)}."


def _event_time(read: Sequence[Conversion], definition: Definition) -> str | None:
    """The expression for the event time; None for data without time."""
    return next((item.value for item in read if item.name == definition.source.event_time), None)


def _examples(
    connection: duckdb.DuckDBPyConnection, relation: str, condition: str, value: str
) -> list[tuple[int, str]]:
    found = connection.execute(
        f"SELECT _number, CAST({value} AS VARCHAR) FROM (SELECT *, row_number() OVER () AS _number FROM {relation}) "  # nosec B608
        f"WHERE {condition} ORDER BY _number LIMIT {_EXAMPLES}"
    ).fetchall()
    return [(row, str(text)[:_TRUNCATED_AT]) for row, text in found]


def _rows(examples: Sequence[tuple[int, str]]) -> str:
    return ", ".join(str(row) for row, _ in examples)
