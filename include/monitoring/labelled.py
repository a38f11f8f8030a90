"""Answers of a version: on its holdout part, and on data that has come since it was made, with what truth is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from include.evaluation.answers import Answers
from include.evaluation.grouping import Floats
from include.evaluation.logged_models import Predict
from include.lake.class_columns import read_answers
from include.lake.columns import DATA_PARTITION, LABEL, PARTITION, ROW
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.check_fairness import group_columns
from include.spec.columns import input_columns, naming_columns, used_history_columns
from include.spec.definition import Definition
from include.spec.objective import objective_columns
from include.spec.partitions import Partition
from include.training import holdout_inputs
from include.training.predictions import TABLE, training_key


def seen_until(windows: Mapping[str, Any]) -> datetime | None:
    """The end of all that a version was trained, validated and judged on; None if it was not cut by time.

    :param windows: as they are registered: ``{"train": {"start", "end"}, …}`` in ISO 8601 with offset.
    """
    ends = [one["end"] for one in windows.values() if isinstance(one, Mapping) and isinstance(one.get("end"), str)]
    return max(map(datetime.fromisoformat, ends), default=None)


def holdout_answers(settings: Settings, definition: Definition, fingerprint: str) -> Answers | None:
    """What a version answered on its holdout part; None if that is not published (any more).

    :param fingerprint: the version's.
    :raises RawDoesNotMatch: if the objective's columns of these rows are not in the raw table any more.
    """
    table, key = LakeTable(settings, definition.model, TABLE), training_key(fingerprint)
    if not table.exists() or key not in table.partitions():
        return None
    rows = table.dataset(keys=[key]).to_table()
    partitions = rows[DATA_PARTITION].to_numpy(zero_copy_only=False)
    return Answers(
        labels=_floats(rows[LABEL]),
        predictions=read_answers(rows, definition.label.class_names),
        partitions=partitions,
        columns=_objective_columns(settings, definition, rows),
        slices=_slices_of_holdout(settings, definition, rows),
        answered=rows.num_rows,
    )


def data_answers(
    settings: Settings,
    definition: Definition,
    partitions: Sequence[Partition],
    predict: Predict,
    *,
    known: Collection[str] | None = None,
) -> Answers:
    """What a version answers on published partitions, with the labels that came with the data.

    :param predict: the version.
    :param known: keys of the partitions whose labels are known by now, and those of others are not; None: all are.
    :raises RawDoesNotMatch: if the raw table does not hold the rows that the features were made from.
    """
    features = LakeTable(settings, definition.model, "features")
    dataset = features.dataset(keys=[one.key for one in partitions])
    slices = [name for name in group_columns(definition) if name in dataset.schema.names]
    wanted = [PARTITION, ROW, *naming_columns(definition), *used_history_columns(definition), *slices, LABEL]
    rows = dataset.to_table(columns=list(dict.fromkeys(wanted)))
    rows = rows.sort_by([(PARTITION, "ascending"), (ROW, "ascending")])
    inputs, others = list(input_columns(definition)), sorted(objective_columns(definition))
    version = LakeTable(settings, definition.model, "raw").version()
    both = holdout_inputs.read(settings, definition, version, rows, list(dict.fromkeys([*inputs, *others])))
    keys = rows[PARTITION].to_numpy(zero_copy_only=False).astype(str)
    labels = _floats(rows[LABEL])
    return Answers(
        labels=labels if known is None else np.where(np.isin(keys, list(known)), labels, np.nan),
        predictions=predict(both.select(inputs).to_pandas(integer_object_nulls=True)),
        partitions=keys,
        columns=_plain(both.select(others)),
        slices=_plain(rows.select(slices)),
        answered=rows.num_rows,
    )


def _slices_of_holdout(settings: Settings, definition: Definition, rows: pa.Table) -> dict[str, Any]:
    """Of holdout rows, from the features table as it is now; nothing if it has other rows by now, or no such column."""
    features = LakeTable(settings, definition.model, "features")
    dataset = features.dataset(keys=sorted(set(rows[DATA_PARTITION].to_pylist())))
    names = [name for name in group_columns(definition) if name in dataset.schema.names]
    if not names:
        return {}
    joined = _joined(rows, dataset.to_table(columns=list(dict.fromkeys([PARTITION, ROW, *names]))))
    return _plain(joined.select(names)) if joined.num_rows == rows.num_rows else {}


def _joined(rows: pa.Table, known: pa.Table) -> pa.Table:
    """The known rows that these are, in their order."""
    of = rows.select([DATA_PARTITION, ROW]).rename_columns([PARTITION, ROW])
    place = pa.array(np.arange(of.num_rows))
    return of.append_column("_place", place).join(known, [PARTITION, ROW], join_type="inner").sort_by("_place")


def _objective_columns(settings: Settings, definition: Definition, rows: pa.Table) -> dict[str, Any]:
    """Of holdout rows, from the features and raw tables as they are now."""
    wanted = sorted(objective_columns(definition))
    if not wanted:
        return {}
    features = LakeTable(settings, definition.model, "features")
    keys = sorted(set(rows[DATA_PARTITION].to_pylist()))
    naming = [*naming_columns(definition), *used_history_columns(definition)]
    known = features.dataset(keys=keys).to_table(columns=list(dict.fromkeys([PARTITION, ROW, *naming])))
    joined = _joined(rows, known)
    version = LakeTable(settings, definition.model, "raw").version()
    if joined.num_rows != rows.num_rows:
        raise holdout_inputs.RawDoesNotMatch(definition.model, rows.num_rows, joined.num_rows, version)
    return _plain(holdout_inputs.read(settings, definition, version, joined, wanted))


def _plain(table: pa.Table) -> dict[str, Any]:
    return {name: table[name].to_pandas(integer_object_nulls=True) for name in table.column_names}


def _floats(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values
