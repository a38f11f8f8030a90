"""The columns of a model's table ``scores``, and of the rows that are scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from include.lake.class_columns import answer_fields
from include.lake.columns import PARTITION_COLUMNS, PREDICTION, ReservedColumn, arrow_schema
from include.spec.column_types import DUCKDB_TYPES
from include.spec.columns import naming_columns
from include.spec.definition import ColumnType, Definition

TABLE: Final = "scores"
MODEL_VERSION: Final = "model_version"
AS_OF: Final = "as_of"
DATA_SOURCE: Final = "data_source"
ADDED: Final = (PREDICTION, MODEL_VERSION, AS_OF, DATA_SOURCE)


def kept_columns(definition: Definition) -> dict[str, ColumnType]:
    """The columns that say which row was scored: entity and event time, with their types.

    :raises ReservedColumn: if one has a name that the scores table uses for something else.
    """
    names = naming_columns(definition)
    answers = [field.name for field in answer_fields(definition.label.class_names)]
    taken = {name.lower() for name in (*answers, *ADDED, *PARTITION_COLUMNS)} & {name.lower() for name in names}
    if taken:
        raise ReservedColumn(definition.model, taken, TABLE)
    return {name: definition.source.columns[name] for name in names}


def scored_columns(definition: Definition, inputs: Mapping[str, ColumnType]) -> dict[str, ColumnType]:
    """The columns that rows to be scored must have: entity, event time, and what the version reads.

    :param inputs: the version's own input columns and their types.
    """
    return {**inputs, **kept_columns(definition)}


def scores_schema(definition: Definition) -> pa.Schema:
    """The staged and published rows: ``_row`` (place in the partition or file), entity, event time, and what is added.

    ``as_of`` is an instant (UTC); the event time stays on the source's clock. ``data_source`` is ``raw`` for rows of
    the model's own table, else the file's path.
    """
    kept = {name: DUCKDB_TYPES[kind] for name, kind in kept_columns(definition).items()}
    added = [
        *answer_fields(definition.label.class_names),
        pa.field(MODEL_VERSION, pa.int64()),
        pa.field(AS_OF, pa.timestamp("us", tz="UTC")),
        pa.field(DATA_SOURCE, pa.string()),
    ]
    return pa.schema([*arrow_schema(kept), *added])
