"""Against a migrated metadata database: the settings file is loaded, and a DAG of steps runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from include.errors import Refused
from include.exporter.airflow import read_airflow
from include.exporter.sources import Source
from include.registry import database
from include.settings import PROJECT
from plugins.settings_loader import read_settings
from tests.exporter.conftest import samples

LOADER = [sys.executable, "-m", "plugins.settings_loader", "--migrate", str(PROJECT / "airflow_settings.yaml")]
SHOW = """
import json
from airflow.models import Connection, Pool, Variable
from airflow.utils.session import create_session
with create_session() as s:
    print(json.dumps({
        "connections": {c.conn_id: [c.conn_type, c.host, c.port] for c in s.query(Connection) if "noria" in c.conn_id},
        "pools": {p.pool: [p.slots, p.include_deferred] for p in s.query(Pool) if "noria" in p.pool},
        "variables": {v.key: v.val for v in s.query(Variable)},
    }))
"""

LIKE = (
    "INSERT INTO {0} SELECT (jsonb_populate_record(NULL::{0}, to_jsonb(o) || {1})).* "
    "FROM (SELECT * FROM {0} LIMIT 1) AS o"
)
DAG = "jsonb_build_object('dag_id', '{0}', 'is_stale', false, 'is_paused', {1}, 'next_dagrun_create_after', {2})"
RUN = (
    "jsonb_build_object('id', {0}, 'dag_id', 'm.monitor', 'run_id', 'run {0}', 'run_type', 'scheduled', "
    "'state', '{1}', 'logical_date', NULL, 'run_after', date_trunc('day', now()) - interval '{2} days')"
)
HAPPENS = (
    "INSERT INTO job (job_type, state, latest_heartbeat) VALUES ('SchedulerJob', 'running', to_timestamp(1000000)), "
    "('SchedulerJob', 'running', to_timestamp(2000000))",
    "INSERT INTO import_error (timestamp, filename, stacktrace) VALUES (now(), 'broken.py', 'SyntaxError')",
    "UPDATE task_instance SET state = 'queued', queued_dttm = now() - interval '1 hour' WHERE task_id = 'second'",
    LIKE.format("dag", DAG.format("m.monitor", "false", "now() + interval '1 hour'")),
    LIKE.format("dag", DAG.format("new.monitor", "false", "now() - interval '1 minute'")),
    LIKE.format("dag", DAG.format("paused.monitor", "true", "now() - interval '1 day'")),
    LIKE.format("dag_run", RUN.format(9001, "success", 2)),
    LIKE.format("dag_run", RUN.format(9002, "failed", 1)),
)
"""A day on which the scheduler beats, a file breaks, a task waits, and the run of the day before failed."""


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def last_json(output: str) -> Any:
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


@pytest.mark.database
@pytest.mark.by_turns
def test_the_settings_file_is_loaded_twice_and_a_dag_of_steps_runs(database_url: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "tests" / "plugins"),
        "NORIA_HOME": str(tmp_path / "home"),
    }
    for _ in range(2):
        assert "6 connections, 2 pools and 2 variables" in run(LOADER, environment)
    assert last_json(run([sys.executable, "-c", SHOW], environment)) == {
        "connections": {
            "noria_database": ["postgres", "127.0.0.1", 5432],
            "noria_kubernetes": ["kubernetes", None, None],
            "noria_mlflow": ["http", "127.0.0.1", 5000],
            "noria_server": ["http", "127.0.0.1", 8090],
            "noria_store": ["aws", None, None],
            "noria_warehouse": ["postgres", "127.0.0.1", 5432],
        },
        "pools": {"noria_data": [2, True], "noria_training": [1, True]},
        "variables": {"noria_alerts_to": "", "noria_retrain_on_drift": "true"},
    }
    outcome = last_json(run([sys.executable, str(PROJECT / "tests" / "plugins" / "tiny_dag.py")], environment))
    states, outputs = outcome["states"], outcome["outputs"]
    assert outcome["run"] == "failed", "a refused step makes the run red"
    assert {name: state for name, (state, _) in states.items()} == {
        "resolve_as_of": "success",
        "first": "success",
        "second": "success",
        "skipped": "skipped",
        "after_skipped": "skipped",
        "refused": "failed",
    }
    assert states["refused"][1] == 1, "never retried"
    assert outputs["resolve_as_of"] == "2013-10-06T00:00:00-04:00"
    assert outputs["first"]["as_of"] == outputs["resolve_as_of"]
    assert outputs["first"]["inputs"] == {"x": 2, "only_in_conf": None, "actor": "dag_test", "last_try": True}
    assert outputs["second"]["inputs"]["before"] == outputs["first"], "outputs arrive as objects, not as text"
    _check_what_the_exporter_reads(database_url)


def _check_what_the_exporter_reads(database_url: str) -> None:
    """Its columns are those of this Airflow, and the figures are what lies in them."""
    source = Source("airflow", partial(read_airflow, database_url))
    errors = samples(source)["noria_airflow_import_errors",]
    with database.create(database_url).begin() as connection:
        for statement in HAPPENS:
            connection.exec_driver_sql(statement)
    found = samples(source)
    assert found["noria_source_up", "airflow"] == 1
    assert found["noria_airflow_heartbeat_timestamp_seconds", "scheduler"] == 2_000_000
    assert found["noria_airflow_import_errors",] == errors + 1
    assert found["noria_airflow_tasks", "queued"] == 1
    assert found["noria_airflow_tasks", "running"] == 0
    assert 3600 <= found["noria_airflow_task_oldest_seconds", "queued"] < 4200
    assert found["noria_airflow_pool_slots", "noria_training"] == 1
    assert sum(value for name, value in found.items() if name[0] == "noria_airflow_pool_slots_used") == 1
    done, due = (found[f"noria_airflow_run_{what}_timestamp_seconds", "monitor", "m"] for what in ("done", "due"))
    assert due - done == 86400
    assert found["noria_airflow_run_due_timestamp_seconds", "monitor", "new"] > due
    assert ("noria_airflow_run_due_timestamp_seconds", "monitor", "paused") not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("airflow: {pools: [{pool_name: p}]}", "pool_slot"),
        ("airflow: {pols: []}", "pols"),
        ("connections: []", "no section"),
        ("airflow: [", "not YAML"),
    ],
)
def test_a_wrong_settings_file_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text(text)
    with pytest.raises(Refused, match=words):
        read_settings(file)


def test_the_empty_entries_of_astros_template_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text(
        "airflow:\n  connections:\n    - conn_id:\n      conn_type:\n  pools:\n    - pool_name:\n  variables:\n"
    )
    settings = read_settings(file)
    assert (settings.connections, settings.pools, settings.variables) == ((), (), ())
