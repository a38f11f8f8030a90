"""Labels and the rows that they are for: the newest wins, early ones wait, and all are counted when read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from include.lake.connections import open_duckdb, quote_name
from include.serving.request_log.tables import scan_feedback, scan_inference
from include.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

_ARRIVAL = "received_at, segment, position, item"


@dataclass(frozen=True, kw_only=True)
class FeedbackCounts:
    """What became of a model's labels; every label is one of the first four.

    :param applied: the first label of a row or an entity that is in the log.
    :param repeated: says what was said already.
    :param changed: says something else than before, and wins.
    :param unknown: nothing of that request, row or entity is in the log (yet).
    :param rows: answered rows that have a label now.
    """

    applied: int
    repeated: int
    changed: int
    unknown: int
    rows: int

    def to_document(self) -> dict[str, int]:
        """The same as JSON."""
        return asdict(self)


def scan_labels(
    connection: duckdb.DuckDBPyConnection, settings: Settings, model: str, name: str, *, since: datetime | None = None
) -> None:
    """Make the view ``name``: ``request_id, row, label, label_at, received_at``, one for each labelled row.

    A label of the request's row goes before one of its entity; of several the newest to arrive wins. The views
    ``<name>__inference`` and ``<name>__feedback`` are made beside it.

    :param since: only requests that came at this instant or later, with any label that was received since then.
    """
    inference, feedback = f"{name}__inference", f"{name}__feedback"
    scan_inference(connection, settings, model, inference, since=since)
    scan_feedback(connection, settings, model, feedback, since=since)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS {_labels_sql(inference, feedback)}")


def feedback_counts(settings: Settings, model: str) -> FeedbackCounts:
    """Count a model's labels as they stand now."""
    with open_duckdb(settings) as connection:
        scan_labels(connection, settings, model, "labels")
        rows = connection.execute("SELECT count(*) FROM labels").fetchone()
        found = connection.execute(_counts_sql("labels__inference", "labels__feedback")).fetchone()
    applied, repeated, changed, unknown = found or (0, 0, 0, 0)
    return FeedbackCounts(
        applied=applied, repeated=repeated, changed=changed, unknown=unknown, rows=rows[0] if rows else 0
    )


def _labels_sql(inference: str, feedback: str) -> str:
    answered = f'SELECT DISTINCT request_id, "row", entity FROM {quote_name(inference)} WHERE answered'  # nosec B608
    newest = f"ROW_NUMBER() OVER (PARTITION BY {{}} ORDER BY {', '.join(f'{c} DESC' for c in _ARRIVAL.split(', '))})"
    return f"""
        WITH answers AS ({answered}),
        of_row AS (
            SELECT request_id, "row", label, "at", received_at FROM {quote_name(feedback)}
            WHERE request_id IS NOT NULL QUALIFY {newest.format('request_id, "row"')} = 1
        ),
        of_entity AS (
            SELECT entity, label, "at", received_at FROM {quote_name(feedback)}
            WHERE request_id IS NULL AND entity IS NOT NULL QUALIFY {newest.format("entity")} = 1
        )
        SELECT a.request_id, a."row",
            CASE WHEN r.request_id IS NULL THEN e.label ELSE r.label END AS label,
            CASE WHEN r.request_id IS NULL THEN e."at" ELSE r."at" END AS label_at,
            CASE WHEN r.request_id IS NULL THEN e.received_at ELSE r.received_at END AS received_at
        FROM answers a
        LEFT JOIN of_row r ON r.request_id = a.request_id AND r."row" = a."row"
        LEFT JOIN of_entity e ON e.entity = a.entity
        WHERE r.request_id IS NOT NULL OR e.entity IS NOT NULL
    """  # nosec B608


def _counts_sql(inference: str, feedback: str) -> str:
    return f"""
        WITH answers AS (SELECT DISTINCT request_id, "row", entity FROM {quote_name(inference)} WHERE answered),
        said AS (
            SELECT *, row_number() OVER same AS number, lag(label) OVER same AS before,
                CASE WHEN request_id IS NOT NULL
                    THEN EXISTS (SELECT 1 FROM answers a WHERE a.request_id = f.request_id AND a."row" = f."row")
                    ELSE EXISTS (SELECT 1 FROM answers a WHERE a.entity = f.entity) END AS known
            FROM {quote_name(feedback)} f
            WINDOW same AS (PARTITION BY request_id, CASE WHEN request_id IS NULL THEN entity END,
                CASE WHEN request_id IS NULL THEN 0 ELSE "row" END ORDER BY {_ARRIVAL})
        )
        SELECT count(*) FILTER (known AND number = 1),
            count(*) FILTER (known AND number > 1 AND label IS NOT DISTINCT FROM before),
            count(*) FILTER (known AND number > 1 AND label IS DISTINCT FROM before),
            count(*) FILTER (NOT known)
        FROM said
    """  # nosec B608
