"""How a definition's column types are written down: in DuckDB, in Arrow, and which names the lake keeps for itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from include.errors import Refused
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import ColumnType, FeatureType

ROW: Final = "_row"
PARTITION: Final = "partition"
DIGEST: Final = "_digest"
INPUTS: Final = "_inputs"
PARTITION_COLUMNS: Final = (PARTITION, DIGEST, INPUTS)
LABEL: Final = "label"
# The predictions table is partitioned by training; this names the partition that a row comes from.
DATA_PARTITION: Final = "data_partition"
PREDICTION: Final = "prediction"
FEATURE_PREFIX: Final = "feature_"
RESERVED: Final = frozenset({ROW, *PARTITION_COLUMNS})

FEATURE_TYPES: Final[dict[FeatureType, str]] = {"numeric": "DOUBLE", "category": "VARCHAR", "boolean": "BOOLEAN"}
_ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}


class ReservedColumn(Refused):
    """A definition uses a column name that the lake keeps for itself."""

    def __init__(self, model: str, names: Iterable[str], table: str) -> None:
        self.names = sorted(names)
        super().__init__(
            f"Model {model}: the column name(s) {', '.join(self.names)} are kept for the lake in the {table} table; "
            "rename them in the source, or leave them out of the definition."
        )


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """Arrow schema of columns with DuckDB types, ``_row`` first."""
    fields = [pa.field(ROW, pa.int64())]
    fields += [pa.field(name, _ARROW_TYPES[kind]) for name, kind in columns.items()]
    return pa.schema(fields)


def raw_columns(model: str, columns: dict[str, ColumnType]) -> dict[str, str]:
    """The raw table's columns and their DuckDB types (without ``_row``).

    :raises ReservedColumn: if a name is kept for the lake.
    """
    taken = RESERVED & {name.lower() for name in columns}
    if taken:
        raise ReservedColumn(model, taken, "raw")
    return {name: DUCKDB_TYPES[kind] for name, kind in columns.items()}
