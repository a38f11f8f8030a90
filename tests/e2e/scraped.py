"""What rules and dashboards ask of a running stack, answered by a real Prometheus that has scraped it."""

from __future__ import annotations

import json
from pathlib import Path

from include.settings import PROJECT
from include.stack.processes import wait_for
from tests.e2e.line import Line
from tests.prometheus import Prometheus, metrics_in, rules

DASHBOARDS = PROJECT / "docker" / "grafana" / "dashboards"

UNANNOUNCED = frozenset(
    {
        "noria_model_errors_total",
        "noria_log_errors_total",
        "noria_shadow_dropped_total",
        "noria_shadow_skipped_total",
        "noria_shadow_queue_depth",
        "noria_history_age_seconds",
        "noria_background_failing",
        "ALERTS",
    }
)
"""What the server's processes, and Prometheus itself, do not name before it happens: errors, values of the past, a
challenger at work, work of the background that failed."""

HAPPENING = UNANNOUNCED | {
    "noria_quality",
    "noria_quality_labels",
    "noria_quality_answers",
    "noria_airflow_run_due_timestamp_seconds",
    "noria_airflow_run_done_timestamp_seconds",
    "noria_deployment_deadline_timestamp_seconds",
    "noria_alert_deliveries_waiting",
    "noria_alert_deliveries_failing",
}
"""Metrics that have no series while nothing of the kind has happened; besides: labels, runs by the clock, channels."""


def targets(line: Line) -> dict[str, str]:
    """Server and exporter of the running stack."""
    addresses = {"noria-serving": line.settings.server_url, "noria-exporter": line.stack.exporter_url}
    return {job: url.removeprefix("http://") for job, url in addresses.items()}


def panel_expressions() -> list[str]:
    """What the dashboards ask, with their variables in place."""
    found = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(Path(file).read_text(encoding="utf-8"))["panels"]:
            found += [target["expr"] for target in panel["targets"]]
    return [one.replace("$model", ".*").replace("$__rate_interval", "30s") for one in found]


def wait_for_scrapes(server: Prometheus, times: int = 5) -> None:
    """Until both targets were scraped so often that rates are known."""
    query = f"count(count_over_time(up[1m]) >= {times} and up == 1)"
    assert wait_for(lambda: [one["value"][1] for one in server.series(query)] == ["2"], 60), server.api("targets")


def check_names(server: Prometheus) -> None:
    """Every metric that a rule or a dashboard names was scraped, or is one that only comes when something happens."""
    asked = {name for one in [*panel_expressions(), *(rule["expr"] for rule in rules())] for name in metrics_in(one)}
    assert len(asked) > 50
    missing = asked - server.names() - UNANNOUNCED
    assert not missing, f"asked for, but neither server nor exporter tells of it: {sorted(missing)}"


def check_panels(server: Prometheus) -> None:
    """Every panel's query is answered, with series unless it is about what has not happened."""
    empty = [one for one in panel_expressions() if not server.series(one)]
    unanswered = [one for one in empty if not metrics_in(one) & HAPPENING]
    assert not unanswered, f"panels that show nothing: {unanswered}"


def check_rules(server: Prometheus) -> None:
    """Prometheus itself evaluates all rules without an error."""
    groups = server.api("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in found} == {rule["alert"] for rule in rules()}
    assert [rule["lastError"] for rule in found if rule.get("lastError")] == []
    assert {rule["health"] for rule in found} == {"ok"}


def firing(server: Prometheus) -> set[str]:
    """Names of the alerts that fire or are about to."""
    return {one["labels"]["alertname"] for one in server.api("alerts")["alerts"]}
