"""From the request log's tables to the evidence of a challenger: its rows beside the champion's, and their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from include.evaluation.live_evidence import Arm, Labelled, Latencies, LiveEvidence, Rows
from include.lake.connections import open_duckdb, quote_name
from include.lake.fetched import flags, floats, objects
from include.registry.deployed import DeployedVersion
from include.serving.request_log.feedback import scan_labels
from include.serving.request_log.tables import input_names
from include.settings import Settings
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import ColumnType

if TYPE_CHECKING:
    import duckdb

_VIEW: Final = "labels"


@dataclass(frozen=True)
class Span:
    """Whose evidence is read, and from when.

    :param challenger: version that is judged.
    :param champion: version that it is compared with.
    :param started: when the deployment began; labelled rows count from then.
    :param entered: when the present stage began; everything else counts from then.
    :param event_time: input column with the event's time; None: a row's time is its request's.
    :param columns: input columns that the objective reads, with their types.
    :param classes: how many classes the answers hold probabilities of; 0 if an answer is one number.
    """

    challenger: int
    champion: int
    started: datetime
    entered: datetime
    event_time: str | None
    columns: Mapping[str, ColumnType] = field(default_factory=dict)
    classes: int = 0

    @classmethod
    def of(cls, deployed: DeployedVersion) -> Span:
        """The span of a challenger in its present stage.

        :raises KeyError: its plan is not one of :mod:`include.registry.plans`.
        """
        plan = deployed.plan
        started = datetime.fromisoformat(plan["started_at"])
        return cls(
            challenger=deployed.version,
            champion=plan["champion"],
            started=min(started, deployed.since),
            entered=deployed.since,
            event_time=plan.get("event_time"),
            columns=(plan.get("objective") or {}).get("columns", {}),
            classes=len(plan.get("classes") or ()),
        )


def read_evidence(settings: Settings, deployed: DeployedVersion, *, now: datetime) -> LiveEvidence:
    """Everything that was seen of a challenger until now, from what is compacted.

    Requests that named their version are no evidence: who asks chooses. A row that a version both answered and failed
    on counts as failed, and so does one that it answered with no number.

    :param deployed: the challenger, in the role shadow, canary or ab.
    :param now: with time zone.
    """
    span = Span.of(deployed)
    with open_duckdb(settings, threads=1, memory="512MiB") as connection:
        scan_labels(connection, settings, deployed.model, _VIEW, since=span.started)
        _collect(connection, span)
        return LiveEvidence(
            elapsed_s=(now - span.entered).total_seconds(),
            rows=_rows(connection, span.classes),
            latencies=_latencies(connection),
            labelled=_labelled(connection, span.classes, list(span.columns)),
            arms=_arms(connection, span.classes, list(span.columns)) if deployed.role == "ab" else {},
        )


def _collect(connection: duckdb.DuckDBPyConnection, span: Span) -> None:
    """Make the tables ``seen`` (one line for each record's row) and ``pairs`` (one for each row of a request).

    Both versions' records of a request carry the instant at which it came, which tells requests apart whose caller
    sends the same id again and again.
    """
    logged = quote_name(f"{_VIEW}__inference")
    names = {row[0] for row in connection.execute(f"DESCRIBE {logged}").fetchall()}
    event_sql = logged_input(span.event_time, "timestamp", names)
    columns = "".join(f", {logged_input(n, kind, names)} AS {_column(n)}" for n, kind in span.columns.items())
    carried = "".join(f", max({_column(name)}) AS {_column(name)}" for name in span.columns)
    said = "prediction" if not span.classes else "probabilities" if "probabilities" in names else "NULL::DOUBLE[]"
    connection.execute(
        f"""
        CREATE TEMP TABLE seen AS
        SELECT request_id, "row", "at", version = $challenger AS mine, role, answered, {said} AS said, entity,
            latency_us / 1000.0 AS ms, champion_latency_us / 1000.0 AS champion_ms,
            error IS NOT NULL OR NOT coalesce(isfinite(prediction), false) AS failed,
            {event_sql} AS event, "at" >= $entered AS in_stage{columns}
        FROM {logged}
        WHERE version IN ($challenger, $champion) AND NOT coalesce(asked, false)
        """,  # nosec B608
        {"challenger": span.challenger, "champion": span.champion, "entered": span.entered},
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE pairs AS
        SELECT request_id, "row", "at", bool_and(in_stage) AS in_stage,
            coalesce(max(event), CAST("at" AS TIMESTAMP)) AS event,
            bool_or(mine AND failed) AS mine_failed, bool_or(NOT mine AND failed) AS other_failed,
            max(said) FILTER (mine AND NOT failed) AS mine_said,
            max(said) FILTER (NOT mine AND NOT failed) AS other_said{carried}
        FROM seen GROUP BY request_id, "row", "at" HAVING bool_or(mine)
        """  # nosec B608
    )


def logged_input(name: str | None, kind: ColumnType, names: Collection[str]) -> str:
    """The logged input as a value of its declared type; null where the log has none (a shadow score's record)."""
    kept = () if name is None else reversed(input_names(name, kind))
    found = [f"TRY_CAST({quote_name(column)} AS {DUCKDB_TYPES[kind]})" for column in kept if column in names]
    return f"coalesce({', '.join(found)})" if found else f"NULL::{DUCKDB_TYPES[kind]}"


def _column(name: str) -> str:
    return quote_name(f"column {name}")


def _selected(alias: str, columns: Sequence[str]) -> str:
    return "".join(f", {alias}.{_column(name)}" for name in columns)


def _read_columns(found: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: objects(found[f"column {name}"]) for name in columns}


def _rows(connection: duckdb.DuckDBPyConnection, classes: int) -> Rows:
    found = connection.execute(
        """
        SELECT CASE WHEN NOT mine_failed THEN mine_said END AS mine,
            CASE WHEN NOT other_failed THEN other_said END AS other, mine_failed, other_failed, event
        FROM pairs WHERE in_stage ORDER BY "at", request_id, "row"
        """
    ).fetchnumpy()
    return Rows(
        challenger=answers_of(found["mine"], classes),
        champion=answers_of(found["other"], classes),
        challenger_failed=flags(found["mine_failed"]),
        champion_failed=flags(found["other_failed"]),
        times=np.asarray(found["event"]),
    )


def _latencies(connection: duckdb.DuckDBPyConnection) -> Latencies:
    scored = connection.execute(
        """
        SELECT ms, champion_ms FROM seen
        WHERE in_stage AND mine AND NOT answered AND NOT failed AND ms IS NOT NULL AND champion_ms IS NOT NULL
        ORDER BY "at", request_id, "row"
        """
    ).fetchnumpy()
    answered = connection.execute(
        """
        SELECT ms, mine FROM seen WHERE in_stage AND answered AND "row" = 0 AND ms IS NOT NULL ORDER BY "at", request_id
        """
    ).fetchnumpy()
    return Latencies(
        challenger=floats(scored["ms"]),
        champion=floats(scored["champion_ms"]),
        answered=floats(answered["ms"]),
        by_challenger=flags(answered["mine"]),
    )


def _labelled(connection: duckdb.DuckDBPyConnection, classes: int, columns: Sequence[str]) -> Labelled:
    found = connection.execute(
        f"""
        SELECT l.label, p.mine_said AS mine, p.other_said AS other, p.event{_selected("p", columns)}
        FROM pairs p JOIN {_VIEW} l USING (request_id, "row")
        WHERE l.label IS NOT NULL AND p.mine_said IS NOT NULL AND p.other_said IS NOT NULL
        ORDER BY greatest(l.received_at, p."at"), request_id, "row"
        """  # nosec B608
    ).fetchnumpy()
    return Labelled(
        labels=floats(found["label"]),
        challenger=answers_of(found["mine"], classes),
        champion=answers_of(found["other"], classes),
        times=np.asarray(found["event"]),
        columns=_read_columns(found, columns),
    )


def _arms(connection: duckdb.DuckDBPyConnection, classes: int, columns: Sequence[str]) -> dict[str, Arm]:
    """What each version has answered itself in the stage, with labels."""
    found = connection.execute(
        f"""
        SELECT s.mine, l.label, s.said, coalesce(s.entity, s.request_id) AS entity{_selected("s", columns)}
        FROM seen s JOIN {_VIEW} l USING (request_id, "row")
        WHERE s.in_stage AND s.answered AND s.said IS NOT NULL AND l.label IS NOT NULL
        ORDER BY s."at", request_id, "row"
        """  # nosec B608
    ).fetchnumpy()
    mine = flags(found["mine"])
    labels, predictions = floats(found["label"]), answers_of(found["said"], classes)
    entities, carried = np.asarray(found["entity"], dtype=str), _read_columns(found, columns)
    return {
        name: Arm(
            labels[chosen], predictions[chosen], entities[chosen], {n: values[chosen] for n, values in carried.items()}
        )
        for name, chosen in (("challenger", mine), ("champion", ~mine))
    }


def answers_of(values: Any, classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column of answers: numbers, or lists of probabilities as an array of shape (rows, classes); null is NaN.

    A version that does not know the newest classes has no probability for them.
    """
    if not classes:
        return floats(values)
    rows = np.full((len(values), classes), np.nan)
    for row, (said, missing) in enumerate(zip(np.ma.getdata(values), np.ma.getmaskarray(values), strict=True)):
        if said is not None and not missing:
            rows[row] = 0.0
            rows[row, : len(said)] = said
    return rows
