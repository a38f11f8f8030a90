"""Drift of the predictions: what a version answered in a window, beside what it answered on its holdout part.

Answers are in two tables: ``inference`` (requests to the server) and ``scores`` (whole partitions). Each is judged by
itself, since who asks the server need not be who is scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, Literal

from include.lake.class_columns import PREDICTED_CLASS
from include.lake.columns import PREDICTION
from include.lake.connections import open_duckdb
from include.lake.table import LakeTable
from include.monitoring.counting import Counts, count_rows, nothing
from include.monitoring.drift import DriftResult, judge_drift
from include.settings import Settings
from include.spec.definition import Drift
from include.spec.partitions import Partition
from include.training.column_profile import to_vector

Source = Literal["requests", "scores"]
SOURCES: Final[tuple[Source, ...]] = ("requests", "scores")
#: Of which table, and which of its rows the window's answers of a version are.
_TABLES: Final[dict[Source, tuple[str, str]]] = {
    "requests": ("inference", 'answered AND error IS NULL AND version = ? AND "at" >= ? AND "at" < ?'),
    "scores": ("scores", "data_source = 'raw' AND model_version = ?"),
}
_COLUMN: Final = "prediction"


@dataclass(frozen=True, kw_only=True)
class PredictionCheck:
    """The verdict on one source's answers, and their counts."""

    source: Source
    result: DriftResult
    counts: list[int]


def check_predictions(
    settings: Settings,
    model: str,
    version: int,
    profile: Mapping[str, Any],
    window: Sequence[Partition],
    limits: Drift,
) -> list[PredictionCheck]:
    """Judge a version's answers of a window, of each source that has a table.

    :param profile: the version's ``profile.json``, of the format that this code writes.
    :param window: its partitions, oldest first; requests count by when they came.
    """
    reference = {_COLUMN: profile[_COLUMN]}
    found = []
    for source in SOURCES:
        counts = _count(settings, model, source, version, window, reference)
        if counts is None:
            continue
        result = judge_drift(
            reference,
            counts.columns,
            rows=counts.rows,
            limits=limits,
            partitions=profile["holdout_partitions"],
            window=len(window),
        )
        found.append(PredictionCheck(source=source, result=result, counts=to_vector(counts.columns[_COLUMN])))
    return found


def _count(
    settings: Settings,
    model: str,
    source: Source,
    version: int,
    window: Sequence[Partition],
    reference: Mapping[str, Any],
) -> Counts | None:
    """None if there is no such table."""
    name, rows = _TABLES[source]
    table = LakeTable(settings, model, name)
    if not table.exists():
        return None
    parameters: list[object] = [version]
    start, end = window[0].start.astimezone(UTC), window[-1].end.astimezone(UTC)
    if source == "scores":
        dataset = table.dataset(keys=[one.key for one in window])
    else:
        days = [("day", ">=", f"{start:%Y-%m-%d}"), ("day", "<=", f"{end:%Y-%m-%d}")]
        dataset = table.local_dataset(table.open(), days)
        parameters += [start, end]
    is_class = reference[_COLUMN]["type"] == "category"
    column = PREDICTED_CLASS if is_class else PREDICTION
    if column not in dataset.schema.names:
        return nothing(reference)
    with open_duckdb(settings) as connection:
        connection.register("answers", dataset)
        relation = f"(SELECT {column} FROM answers WHERE {rows})"  # nosec B608 # names and text are this module's own
        counted = count_rows(connection, relation, "''", {_COLUMN: column}, reference, parameters)
    return counted.get("", nothing(reference))
