"""Airflow's own figures, from its metadata database: heartbeats, tasks that wait, pools, import errors, overdue runs.

Why from there: ADR-airflow-figures.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from prometheus_client import Metric
from sqlalchemy import Connection

from include.exporter.reading import gauge, reading, rows

COMPONENTS: Final = {"SchedulerJob": "scheduler", "TriggererJob": "triggerer", "DagProcessorJob": "dag_processor"}
TASK_STATES: Final = (
    "scheduled",
    "queued",
    "running",
    "restarting",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
    "awaiting_input",
)
RUN_STATES: Final = ("queued", "running")

_HEARTBEATS: Final = """
    SELECT job_type, extract(epoch FROM max(latest_heartbeat)) AS at FROM job
    WHERE job_type = ANY(:types) GROUP BY job_type
"""
_TASKS: Final = """
    SELECT state, count(*) AS tasks,
           extract(epoch FROM clock_timestamp() - min(CASE state
               WHEN 'queued' THEN queued_dttm WHEN 'scheduled' THEN scheduled_dttm ELSE start_date END)) AS oldest
    FROM task_instance WHERE state = ANY(:states) GROUP BY state
"""
_POOLS: Final = """
    SELECT p.pool, p.slots,
           coalesce(sum(t.pool_slots) FILTER (WHERE t.state IN ('queued', 'running')
               OR p.include_deferred AND t.state = 'deferred'), 0) AS used,
           coalesce(sum(t.pool_slots) FILTER (WHERE t.state = 'scheduled'), 0) AS wanted
    FROM slot_pool AS p LEFT JOIN task_instance AS t
        ON t.pool = p.pool AND t.state IN ('queued', 'running', 'deferred', 'scheduled')
    GROUP BY p.id ORDER BY p.pool LIMIT 100
"""
_RUNS: Final = "SELECT state, count(*) AS runs FROM dag_run WHERE state = ANY(:states) GROUP BY state"
_ERRORS: Final = "SELECT count(*) AS errors FROM import_error"
# Runs by the clock, of DAGs that are not paused: when the newest was due, and which is the newest that ended well.
_CLOCK: Final = """
    SELECT split_part(d.dag_id, '.', 1) AS model, split_part(d.dag_id, '.', 2) AS family,
           extract(epoch FROM greatest(
               max(r.run_after) FILTER (WHERE r.run_type = 'scheduled' AND r.run_after <= clock_timestamp()),
               CASE WHEN d.next_dagrun_create_after <= clock_timestamp() THEN d.next_dagrun_create_after END)) AS due,
           extract(epoch FROM max(r.run_after) FILTER (WHERE r.state = 'success' AND r.run_type = 'scheduled')) AS done
    FROM dag AS d LEFT JOIN dag_run AS r ON r.dag_id = d.dag_id AND r.run_after > clock_timestamp() - interval '60 days'
    WHERE NOT d.is_paused AND NOT d.is_stale AND d.dag_id LIKE '%.%'
    GROUP BY d.dag_id ORDER BY d.dag_id LIMIT 2000
"""


def read_airflow(database_url: str) -> list[Metric]:
    """What Airflow's processes, tasks and runs are doing."""
    with reading(database_url) as connection:
        return [*_processes(connection), *_tasks(connection), *_pools(connection), *_runs(connection)]


def _processes(connection: Connection) -> list[Metric]:
    beats = rows(connection, _HEARTBEATS, {"types": list(COMPONENTS)})
    (found,) = rows(connection, _ERRORS)
    return [
        gauge(
            "noria_airflow_heartbeat_timestamp_seconds",
            "The last sign of life of Airflow's processes; of several of a kind the newest.",
            ("component",),
            {(COMPONENTS[row.job_type],): row.at for row in beats},
        ),
        gauge("noria_airflow_import_errors", "DAG files that cannot be imported.", (), {(): found.errors}),
    ]


def _tasks(connection: Connection) -> list[Metric]:
    found = {row.state: row for row in rows(connection, _TASKS, {"states": list(TASK_STATES)})}
    return [
        gauge(
            "noria_airflow_tasks",
            "Tasks that have not ended, by state.",
            ("state",),
            {(state,): found[state].tasks if state in found else 0 for state in TASK_STATES},
        ),
        gauge(
            "noria_airflow_task_oldest_seconds",
            "How long the oldest task is in its state (since its start, if it has one).",
            ("state",),
            {(state,): found[state].oldest if state in found else 0 for state in TASK_STATES},
        ),
    ]


def _pools(connection: Connection) -> list[Metric]:
    pools = {(row.pool,): row for row in rows(connection, _POOLS)}

    def of_pools(name: str, words: str, column: str) -> Metric:
        return gauge(name, words, ("pool",), {key: getattr(row, column) for key, row in pools.items()})

    return [
        of_pools("noria_airflow_pool_slots", "Slots of a pool; -1 is without limit.", "slots"),
        of_pools("noria_airflow_pool_slots_used", "Slots that tasks hold.", "used"),
        of_pools("noria_airflow_pool_slots_wanted", "Slots that scheduled tasks wait for.", "wanted"),
    ]


def _runs(connection: Connection) -> list[Metric]:
    under_way = {row.state: row.runs for row in rows(connection, _RUNS, {"states": list(RUN_STATES)})}
    clock: Sequence[Any] = rows(connection, _CLOCK)
    by = ("model", "family")
    return [
        gauge(
            "noria_airflow_runs",
            "Runs that have not ended, by state.",
            ("state",),
            {(state,): under_way.get(state, 0) for state in RUN_STATES},
        ),
        gauge(
            "noria_airflow_run_due_timestamp_seconds",
            "When the newest run by a DAG's schedule was due.",
            by,
            {(row.model, row.family): row.due for row in clock},
        ),
        gauge(
            "noria_airflow_run_done_timestamp_seconds",
            "When the newest run by a DAG's schedule that ended well was due.",
            by,
            {(row.model, row.family): row.done for row in clock},
        ),
    ]
