"""Raw columns of the holdout rows, first of all what a request would have carried for each of them.

They are read from the version of the raw table that the features were made from, and proven to be the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa

from include.errors import Refused
from include.lake.connections import open_duckdb, query_table, quote_name
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.columns import input_columns, naming_columns, used_history_columns
from include.spec.definition import Definition
from include.spec.memory import duckdb_memory
from include.training.part_files import ROWS_AT_ONCE, WrittenPart, read_batches, write_part

_ORDER: Final = "_position"


class RawDoesNotMatch(Refused):
    """The raw table does not hold the rows that the features were made from."""

    def __init__(self, model: str, rows: int, found: int, version: int) -> None:
        super().__init__(
            f"{model}: {rows - found} of {rows} holdout rows of the features table are not in version {version} of the "
            f"raw table: raw partitions were replaced after their features were computed. Run the DAG {model}.data "
            f"for these partitions, then train again."
        )
        self.rows = rows
        self.found = found


def read(
    settings: Settings,
    definition: Definition,
    raw_version: int,
    holdout: pa.Table,
    columns: Iterable[str] | None = None,
) -> pa.Table:
    """Raw columns of the holdout's rows, in the holdout's order.

    :param raw_version: the version of the raw table that the features were made from.
    :param columns: which; the model's input columns if left out.
    :raises RawDoesNotMatch: if the raw table does not hold these rows.
    """
    raw = LakeTable(settings, definition.model, "raw")
    chosen = list(input_columns(definition) if columns is None else columns)
    inputs = _join(settings, definition, raw, raw_version, holdout, chosen)
    if inputs.num_rows != holdout.num_rows:
        raise RawDoesNotMatch(definition.model, holdout.num_rows, inputs.num_rows, raw_version)
    return inputs.drop_columns([_ORDER]).combine_chunks()


def write(
    settings: Settings, definition: Definition, raw_version: int, holdout: Sequence[Path], target: Path
) -> WrittenPart:
    """Write the input columns of the holdout's rows, in the holdout's order, some rows at a time.

    :param holdout: files of the holdout part.
    :raises RawDoesNotMatch: if the raw table does not hold these rows.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_batches(holdout, rows=ROWS_AT_ONCE):
            yield from read(settings, definition, raw_version, pa.table(batch)).to_batches()

    rows = batches()
    first = next(rows)
    return write_part(target, first.schema, chain([first], rows))


def _join(
    settings: Settings, definition: Definition, raw: LakeTable, version: int, holdout: pa.Table, columns: list[str]
) -> pa.Table:
    """Raw rows with the holdout's partition, row, event time and entity, in the holdout's order."""
    same = dict.fromkeys(["partition", "_row", *naming_columns(definition)])
    past = used_history_columns(definition)  # the features table keeps them, as they were when it was made
    rows = holdout.select([*same, *past]).append_column(_ORDER, pa.array(range(holdout.num_rows), pa.int64()))
    keys = sorted(set(holdout["partition"].to_pylist()))
    equal = " AND ".join(f"h.{quote_name(c)} IS NOT DISTINCT FROM r.{quote_name(c)}" for c in same)
    chosen = ", ".join(f"{'h' if column in past else 'r'}.{quote_name(column)}" for column in columns)
    resources = definition.training.resources
    memory = duckdb_memory(definition, "assemble")
    connection = open_duckdb(settings, threads=resources.cpu, memory=memory)
    try:
        connection.register("holdout_rows", rows)
        raw.scan(connection, "raw_rows", version=version, keys=keys)
        query = (
            f"SELECT {chosen}, h.{_ORDER} FROM holdout_rows h JOIN raw_rows r ON {equal} "  # nosec B608
            f"ORDER BY h.{_ORDER}"
        )
        table = query_table(connection, query)
        return table.cast(pa.schema([pa.field(f.name, _plain(f.type)) for f in table.schema]))
    finally:
        connection.close()


def _plain(kind: pa.DataType) -> pa.DataType:
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind)
    return pa.string() if text else kind
