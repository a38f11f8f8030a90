"""What all kinds of source share once their rows can be scanned: how raw rows are ordered, written and identified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.lake.connections import query_batches, quote_name
from include.lake.conversion import Conversion
from include.lake.digests import inputs_digest
from include.lake.duplicates import duplicates_note, kept_condition
from include.lake.erased import ErasedKeys
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.spec.definition import Definition

RAW_FORMAT: Final = 1  # raised when the same source would give other raw rows


def raw_inputs(definition: Definition, content: str, suite_digest: str) -> str:
    """Digest (32 hex characters) of what a raw partition is made from.

    :param content: digest of the source's content: of its file or of its rows.
    :param suite_digest: digest of the raw suite, so that a new suite has everything judged again.
    """
    source, duplicates = definition.source, definition.clean.duplicates
    return inputs_digest(
        format=RAW_FORMAT,
        content=content,
        columns=list(source.columns.items()),
        order=_order(definition),
        partition=source.partition,
        time_zone=source.time_zone,
        suite=suite_digest,
        **({} if duplicates is None else {"duplicates": duplicates.model_dump(mode="json")}),
    )


def write_sorted(
    connection: duckdb.DuckDBPyConnection,
    writer: StagingWriter,
    definition: Definition,
    relation: str,
    read: Sequence[Conversion],
    keys: Sequence[str],
) -> dict[str, WrittenPartition]:
    """Write the rows of a relation, converted, in their total order, one staged file for each key.

    Rows of erased keys are left out, and so are duplicates if the definition says so; both are counted in the
    partition's notes.

    :param relation: a table expression with the source's columns and ``_group``, an index into ``keys``.
    """
    source = definition.source
    items = ", ".join(item.selected for item in read)
    first = _order(definition)
    order = [*first, *(name for name in source.columns if name not in first)]
    sorting = ", ".join(f"{quote_name(name)} ASC NULLS LAST" for name in dict.fromkeys(order))
    query = f"SELECT * FROM (SELECT {GROUP}, {items} FROM {relation})"  # nosec B608 # names are quoted
    erased = ErasedKeys.of(writer.settings, definition.model).condition(connection, order)
    left_out = _count(connection, f"{query} WHERE {erased}") if erased else {}
    if erased:
        query = f"{query} WHERE NOT {erased}"
    duplicates = definition.clean.duplicates is not None
    counted = _count(connection, query) if duplicates else {}
    kept = f" QUALIFY {kept_condition(definition)}" if duplicates else ""
    written = writer.write(query_batches(connection, f"{query}{kept} ORDER BY {GROUP}, {sorting}"), keys)
    for group, delivered in counted.items():
        one = written[keys[group]]
        if delivered > one.rows:
            written[keys[group]] = replace(one, notes=(duplicates_note(definition, delivered, one.rows),))
    for group, count in left_out.items():
        one = written[keys[group]]
        written[keys[group]] = replace(one, notes=(*one.notes, erased_note(count)))
    return written


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> dict[int, int]:
    """Rows of a query by group."""
    return dict(connection.execute(f"SELECT {GROUP}, count(*) FROM ({query}) GROUP BY {GROUP}").fetchall())  # nosec B608


def erased_note(count: int) -> str:
    """What a reader is told of a partition of which rows were left out."""
    return f"{count} row(s) of erased keys were left out; the source still holds them"


def _order(definition: Definition) -> list[str]:
    """The columns by which rows are sorted first."""
    source = definition.source
    return [*([source.event_time] if source.event_time is not None else []), *source.entity]


def partition_label(key: str) -> datetime:
    """The first moment of a partition on the source's clock, as its key says it (naive)."""
    text = key.removesuffix("+1")
    return datetime.fromisoformat({7: f"{text}-01", 13: f"{text}:00"}.get(len(text), text))


def register_groups(connection: duckdb.DuckDBPyConnection, columns: dict[str, list[Any]]) -> None:
    """Make the small table ``groups`` that gives rows their group and label."""
    types = {GROUP: pa.int32(), "_label": pa.timestamp("us"), "_path": pa.string()}
    instants = pa.timestamp("us", "UTC")
    connection.register(
        "groups", pa.table({name: pa.array(v, types.get(name, instants)) for name, v in columns.items()})
    )
