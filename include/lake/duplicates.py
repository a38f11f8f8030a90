"""Duplicates at ingest: of a partition's rows with the same entity one stays, as ``clean.duplicates`` says.

Which one does not depend on the order in which rows are delivered: ties go by the values of all columns. The rule is
applied where raw rows are written, so that it is the same for every kind of source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from include.lake.connections import open_duckdb, query_batches, quote_name
from include.lake.digests import inputs_digest
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.definition import Definition

_RANK: Final = "_rank"
_VIEW: Final = "all_rows"


def judged_by(definition: Definition, suite_digest: str) -> str:
    """Digest of the raw suite and the rule, so that a new rule, too, has every partition ingested again.

    :param suite_digest: digest of the suite; given back where there is no rule.
    """
    rule = definition.clean.duplicates
    return suite_digest if rule is None else inputs_digest(suite=suite_digest, duplicates=rule.model_dump(mode="json"))


class RawWriter(StagingWriter):
    """Writes the staged raw rows of one attempt, without their duplicates; counts these in each partition's notes."""

    def __init__(self, settings: Settings, definition: Definition, attempt: str, schema: pa.Schema) -> None:
        super().__init__(settings, definition.model, "raw", attempt, schema)
        self._settings = settings
        self._definition = definition

    def write(self, batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> dict[str, WrittenPartition]:
        """Write one file for each key; see :meth:`StagingWriter.write`."""
        if self._definition.clean.duplicates is None:
            return super().write(batches, keys)
        delivered: Counter[int] = Counter()
        connection = open_duckdb(self._settings, threads=self._definition.training.resources.cpu)
        try:
            counted = _counted(batches, delivered)
            first = next(counted, None)
            if first is None:
                return super().write((), keys)
            connection.register(_VIEW, pa.RecordBatchReader.from_batches(first.schema, _chained(first, counted)))
            written = super().write(query_batches(connection, _kept(self._definition)), keys)
        finally:
            connection.close()
        rows = {keys[group]: count for group, count in delivered.items()}
        return {key: self._noted(one, rows.get(key, 0)) for key, one in written.items()}

    def _noted(self, written: WrittenPartition, delivered: int) -> WrittenPartition:
        rule, source = self._definition.clean.duplicates, self._definition.source
        if rule is None or delivered == written.rows:
            return written
        note = (
            f"{delivered - written.rows} of {delivered} rows were left out as duplicates: of rows with the same "
            f"{', '.join(source.entity)} the {rule.keep} by {rule.order_by or source.event_time} stays"
        )
        return replace(written, notes=(*written.notes, note))


def _counted(batches: Iterable[pa.RecordBatch], rows: Counter[int]) -> Iterator[pa.RecordBatch]:
    """The batches, while their rows are counted by group."""
    for batch in batches:
        groups, counts = np.unique(batch.column(GROUP).to_numpy(), return_counts=True)
        rows.update(dict(zip(groups.tolist(), counts.tolist(), strict=True)))
        yield batch


def _chained(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


def _kept(definition: Definition) -> str:
    """A query for the rows that stay, in the raw rows' total order.

    Rows with a null in their entity are nobody's duplicates, and all stay.
    """
    rule, source = definition.clean.duplicates, definition.source
    time = [] if source.event_time is None else [source.event_time]
    by = time if rule is None or rule.order_by is None else [rule.order_by]
    direction = "ASC" if rule is not None and rule.keep == "first" else "DESC"
    same = ", ".join(map(quote_name, source.entity))
    nobody = " OR ".join(f"{quote_name(name)} IS NULL" for name in source.entity)
    rank = f"row_number() OVER (PARTITION BY {GROUP}, {same} ORDER BY {_sorting(definition, by, direction)})"
    kept = (
        f"SELECT * EXCLUDE ({_RANK}) FROM (SELECT *, {rank} AS {_RANK} FROM {_VIEW}) "  # noqa: S608
        f"WHERE {_RANK} = 1 OR {nobody}"
    )
    order = _sorting(definition, [*time, *source.entity], "ASC")
    return f"{kept} ORDER BY {GROUP}, {order}"


def _sorting(definition: Definition, first: Sequence[str], direction: str) -> str:
    names = dict.fromkeys([*first, *definition.source.columns])
    return ", ".join(f"{quote_name(name)} {direction} NULLS LAST" for name in names)
