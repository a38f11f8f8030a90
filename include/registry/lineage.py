"""Which models and predictions a version of a table touched, and which data made a version or a prediction.

Nothing is kept for it: MLflow's versions name the table versions that each was made from, Delta tables the digests of
their partitions, the request log and the scores the version that answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from include.errors import Refused
from include.lake.connections import open_duckdb, query_table
from include.lake.table import LakeTable, NoSuchVersion, PartitionRecord
from include.registry.ledger import StateAt, state_at
from include.registry.mlflow_client import TrackingAway, connect, summary
from include.registry.version_tags import TABLE_VERSION, TRAINING_SET
from include.registry.versions import ModelVersion, get_version, list_versions
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import WHOLE_KEY, PartitionCalendar

DataTable = Literal["raw", "features"]
_COUNTS: Final[dict[Literal["inference", "scores"], str]] = {
    "inference": 'SELECT version, count(*) AS "rows", min("at") AS "first", max("at") AS "last" FROM answers '
    "WHERE answered GROUP BY ALL ORDER BY ALL",
    "scores": 'SELECT model_version AS version, count(*) AS "rows", min(as_of) AS "first", max(as_of) AS "last" '
    "FROM answers GROUP BY ALL ORDER BY ALL",
}
TABLES: Final[tuple[DataTable, ...]] = ("raw", "features")


class RequestUnknown(Refused):
    """The request log's table does not have the request."""

    def __init__(self, model: str, request_id: str) -> None:
        self.model = model
        self.request_id = request_id
        super().__init__(
            f"The request log of {model} has no answered request {request_id!r}. It may be older than the log is kept "
            "(serving.log.retention), or so new that it is not in the table yet: ask again in a minute."
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table that a version was made from.

    :param version: the Delta table's; None if MLflow does not say.
    :param partitions: those within the version's windows, as they were then; None if that version of the table is gone.
    """

    table: DataTable
    version: int | None
    partitions: Mapping[str, PartitionRecord] | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a registered version was made from.

    :param training_set: digest of the training set.
    """

    registered: ModelVersion
    training_set: str | None
    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers of one version: how many rows, in which table, from when to when."""

    table: Literal["inference", "scores"]
    rows: int
    first: datetime
    last: datetime


@dataclass(frozen=True, kw_only=True)
class Touched:
    """A model version that was made from partitions which a version of a table wrote.

    :param keys: these partitions.
    """

    registered: ModelVersion
    keys: tuple[str, ...]
    predictions: tuple[Predictions, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One row of a request that was answered.

    :param then: what the ledger says of that instant.
    """

    row: int
    at: datetime
    version: int
    role: str
    then: StateAt


def origin_of(settings: Settings, definition: Definition, version: int) -> Origin:
    """What a version was made from.

    :raises VersionUnknown: there is none of that number.
    :raises TrackingAway: MLflow cannot be reached.
    :raises DatabaseAway: the database cannot be reached.
    """
    registered = get_version(settings, definition.model, version)
    tags = _tags(settings, definition.model).get(version, {})
    sources = []
    for table in TABLES:
        number = _number(tags.get(TABLE_VERSION[table]))
        kept = None if number is None else _within(settings, definition, registered, table, number)
        sources.append(Source(table=table, version=number, partitions=kept))
    return Origin(registered=registered, training_set=tags.get(TRAINING_SET), sources=tuple(sources))


def touched_by(
    settings: Settings,
    definition: Definition,
    table: DataTable,
    version: int,
    tags: Mapping[int, Mapping[str, str]] | None = None,
) -> tuple[dict[str, PartitionRecord], list[Touched]]:
    """The partitions that a version of a table wrote, and the model versions that were made from them, oldest first.

    A model version was made from a partition if it lies in its windows and still had these rows in the table's version
    that it was made from.

    :param tags: MLflow's of each model version, if the caller knows them.
    :raises NoSuchVersion: if the table or the version is not there.
    """
    written = _written(settings, definition.model, table, version)
    tags = _tags(settings, definition.model) if tags is None else tags
    answers = _answered(settings, definition.model)
    found = []
    for registered in list_versions(settings, definition.model):
        number = _number(tags.get(registered.version, {}).get(TABLE_VERSION[table]))
        if number is None or number < version:
            continue
        kept = _within(settings, definition, registered, table, number) or {}
        keys = tuple(key for key, record in written.items() if key in kept and kept[key].digest == record.digest)
        if keys:
            predictions = tuple(answers.get(registered.version, ()))
            found.append(Touched(registered=registered, keys=keys, predictions=predictions))
    return written, found


def answers_of(settings: Settings, model: str, request_id: str) -> list[Answer]:
    """Which version answered each row of a request, and what the ledger says of that instant.

    :raises RequestUnknown: if the log's table does not have it.
    """
    lake = LakeTable(settings, model, "inference")
    if not lake.exists():
        raise RequestUnknown(model, request_id)
    with open_duckdb(settings, threads=1) as connection:
        connection.register("logged", lake.dataset())
        rows = query_table(
            connection,
            'SELECT "row", "at", version, role FROM logged WHERE request_id = ? AND answered ORDER BY "row"',
            [request_id],
        ).to_pylist()
    if not rows:
        raise RequestUnknown(model, request_id)
    return [Answer(**row, then=state_at(settings, model, row["at"])) for row in rows]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _tags(settings: Settings, model: str) -> dict[int, Mapping[str, str]]:
    """The tags of MLflow's versions by number."""
    client = connect(settings)
    from mlflow.exceptions import MlflowException

    try:
        return {int(one.version): dict(one.tags) for one in client.search_model_versions(f"name = '{model}'")}
    except MlflowException as error:
        raise TrackingAway(f"reading the versions of {model}", summary(error)) from error


def _written(settings: Settings, model: str, table: DataTable, version: int) -> dict[str, PartitionRecord]:
    """The partitions that are other in this version of the table than in the one before."""
    lake = LakeTable(settings, model, table)
    now = lake.partitions(version)
    before = lake.partitions(version - 1) if version > 0 else {}
    return {key: record for key, record in now.items() if key not in before or before[key].digest != record.digest}


def _within(
    settings: Settings, definition: Definition, registered: ModelVersion, table: DataTable, number: int
) -> dict[str, PartitionRecord] | None:
    """The partitions of a table's version that lie in a model version's windows; None if that version is gone."""
    try:
        kept = LakeTable(settings, definition.model, table).partitions(number)
    except NoSuchVersion:
        return None
    spans = [_span(window) for window in registered.windows.values() if isinstance(window, Mapping)]
    if WHOLE_KEY in kept or not spans or any(span is None for span in spans):
        return kept
    calendar = PartitionCalendar.of(definition)
    inside = {}
    for key, record in kept.items():
        partition = calendar.from_key(key)
        if any(span is not None and partition.start < span[1] and partition.end > span[0] for span in spans):
            inside[key] = record
    return inside


def _span(window: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    try:
        return datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"])
    except (KeyError, ValueError, TypeError):
        return None


def _answered(settings: Settings, model: str) -> dict[int, list[Predictions]]:
    """How many rows each version has answered, to requests and in batches."""
    found: dict[int, list[Predictions]] = {}
    for table in _COUNTS:
        lake = LakeTable(settings, model, table)
        if not lake.exists():
            continue
        with open_duckdb(settings, threads=1) as connection:
            connection.register("answers", lake.dataset())
            rows = query_table(connection, _COUNTS[table]).to_pylist()
        for row in rows:
            found.setdefault(row.pop("version"), []).append(Predictions(table=table, **row))
    return found
