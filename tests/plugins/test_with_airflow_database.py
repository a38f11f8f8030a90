"""Against a migrated metadata database: the settings file is loaded, and a DAG of steps runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.errors import Refused
from include.settings import PROJECT
from plugins.settings_loader import read_settings

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


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def last_json(output: str) -> Any:
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


@pytest.mark.database
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
