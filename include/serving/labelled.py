"""Requests that a version answered, with their labels as far as they are in, for whoever judges its quality."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from include.evaluation.answers import Answers
from include.lake.connections import open_duckdb, quote_name
from include.lake.fetched import floats, objects
from include.lake.table import LakeTable
from include.serving.evidence import answers_of, logged_input
from include.serving.request_log.feedback import scan_labels
from include.settings import Settings
from include.spec.check_fairness import group_columns
from include.spec.columns import columns_typed, input_columns
from include.spec.definition import Definition
from include.spec.objective import objective_columns
from include.spec.partitions import PartitionCalendar

_VIEW = "labels"


def request_answers(
    settings: Settings, definition: Definition, version: int, start: datetime, end: datetime, *, since: datetime
) -> Answers | None:
    """What a version answered to requests about events within [start, end), each with its newest label if it has one.

    A model that takes no event time has a request's own time instead. Columns that the objective reads and requests
    do not carry are null; slices by such columns are left out.

    :param since: an instant before which the version was not there to answer; older requests are not looked at.
    :returns: None if there is no request log.
    """
    if not LakeTable(settings, definition.model, "inference").exists():
        return None
    classes = len(definition.label.class_names)
    event_time = definition.source.event_time if definition.source.event_time in input_columns(definition) else None
    clock = PartitionCalendar.of(definition).local if event_time else _in_utc
    with open_duckdb(settings, threads=1, memory="512MiB") as connection:
        scan_labels(connection, settings, definition.model, _VIEW, since=since)
        logged = quote_name(f"{_VIEW}__inference")
        names = {row[0] for row in connection.execute(f"DESCRIBE {logged}").fetchall()}
        objective = objective_columns(definition)
        carried = [name for name in group_columns(definition) if name in input_columns(definition)]
        wanted = columns_typed(definition, [*objective, *carried])
        columns = "".join(
            f", {logged_input(name, kind, names)} AS {quote_name(f'column {name}')}" for name, kind in wanted.items()
        )
        said = "prediction" if not classes else "probabilities" if "probabilities" in names else "NULL::DOUBLE[]"
        event = logged_input(event_time, "timestamp", names) if event_time else 'CAST("at" AS TIMESTAMP)'
        found = connection.execute(
            f"""
            SELECT l.label, i.said, strftime(i.event, '%Y-%m-%d') AS day, i.* EXCLUDE (said, event)
            FROM (
                SELECT request_id, "row", {said} AS said, {event} AS event{columns} FROM {logged}
                WHERE answered AND error IS NULL AND version = $version
            ) i LEFT JOIN {_VIEW} l USING (request_id, "row")
            WHERE i.said IS NOT NULL AND i.event >= $start AND i.event < $end
            ORDER BY i.event, request_id, "row"
            """,  # nosec B608
            {"version": version, "start": clock(start), "end": clock(end)},
        ).fetchnumpy()
    labels = floats(found["label"])
    values = {name: objects(found[f"column {name}"]) for name in wanted}
    return Answers(
        labels=np.where(np.isfinite(labels), labels, np.nan),
        predictions=answers_of(found["said"], classes),
        partitions=objects(found["day"]).astype(str),
        columns={name: values[name] for name in wanted if name in objective},
        slices={name: values[name] for name in carried if name in wanted},
        answered=int(labels.size),
    )


def _in_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
