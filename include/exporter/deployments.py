"""What is in production, since when, and what waits: the deployment state, the ledger, the outboxes."""

from __future__ import annotations

from typing import Any, Final

from prometheus_client import Metric
from sqlalchemy import Connection

from include.exporter.reading import counter, gauge, reading, rows

_STATE: Final = """
    SELECT s.model, s.role, s.version, s.share, extract(epoch FROM s.since) AS since,
           extract(epoch FROM s.until) AS until, extract(epoch FROM v.as_of) AS as_of
    FROM deployment_state AS s JOIN model_version AS v USING (model, version)
    ORDER BY s.model, s.role LIMIT 2000
"""
_LEDGER: Final = "SELECT model, action, count(*) AS times FROM deployment_ledger GROUP BY model, action LIMIT 5000"
_ALIASES: Final = """
    SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(created_at)) AS oldest
    FROM outbox WHERE delivered_at IS NULL
"""
_ALERTS: Final = "SELECT model, event, count(*) AS times FROM alert GROUP BY model, event LIMIT 5000"
_DELIVERIES: Final = """
    SELECT channel, count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'waiting' AND error IS NOT NULL) AS failing,
           count(*) FILTER (WHERE state = 'expired') AS expired, count(*) FILTER (WHERE state = 'sent') AS sent
    FROM alert_delivery GROUP BY channel LIMIT 200
"""


def read_deployments(database_url: str) -> list[Metric]:
    """Versions in production, changes, and what is still to be told."""
    with reading(database_url) as connection:
        return [*_state(connection), *_waiting(connection), *_alerts(connection)]


def _state(connection: Connection) -> list[Metric]:
    held = {(row.model, row.role): row for row in rows(connection, _STATE)}
    changes: dict[tuple[str, ...], float] = {(row.model, row.action): row.times for row in rows(connection, _LEDGER)}

    def of_roles(name: str, words: str, column: str) -> Metric:
        return gauge(name, words, ("model", "role"), {key: getattr(row, column) for key, row in held.items()})

    return [
        of_roles("noria_deployment_version", "The version that has a role.", "version"),
        of_roles("noria_deployment_share_ratio", "Share of the requests that a role answers, from 0 to 1.", "share"),
        of_roles("noria_deployment_since_timestamp_seconds", "Since when a version has its role.", "since"),
        of_roles(
            "noria_deployment_deadline_timestamp_seconds",
            "When a challenger's stage is rolled back if undecided.",
            "until",
        ),
        of_roles("noria_deployment_as_of_timestamp_seconds", "As of which data time a version was trained.", "as_of"),
        counter("noria_deployment_changes", "Entries of the ledger.", ("model", "action"), changes),
    ]


def _waiting(connection: Connection) -> list[Metric]:
    (aliases,) = rows(connection, _ALIASES)
    return [
        gauge(
            "noria_aliases_waiting",
            "Changes that MLflow's aliases have not followed yet.",
            (),
            {(): aliases.waiting},
        ),
        gauge("noria_aliases_oldest_seconds", "How long the oldest of them waits.", (), {(): aliases.oldest or 0}),
    ]


def _alerts(connection: Connection) -> list[Metric]:
    channels: list[Any] = list(rows(connection, _DELIVERIES))
    alerts: dict[tuple[str, ...], float] = {(row.model, row.event): row.times for row in rows(connection, _ALERTS)}
    by = ("channel",)
    return [
        counter("noria_alerts", "Alerts that were written.", ("model", "event"), alerts),
        gauge(
            "noria_alert_deliveries_waiting",
            "Deliveries still to be made.",
            by,
            {(c.channel,): c.waiting for c in channels},
        ),
        gauge(
            "noria_alert_deliveries_failing",
            "Of these, those that have failed and are tried again.",
            by,
            {(c.channel,): c.failing for c in channels},
        ),
        counter(
            "noria_alert_deliveries_sent", "Deliveries that were taken.", by, {(c.channel,): c.sent for c in channels}
        ),
        counter(
            "noria_alert_deliveries_expired",
            "Deliveries that were given up after a day.",
            by,
            {(c.channel,): c.expired for c in channels},
        ),
    ]
