"""Who may see and do what in Airflow: its real API, asked by users of two teams about two models' DAGs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.settings import PROJECT

PROGRAM = [sys.executable, str(PROJECT / "tests" / "plugins" / "team_program.py")]

LOOKING = {
    f"POST /api/v2/dags/{{dag_id}}/{way}"
    for way in ("dagRuns/list", "dagRuns/{dag_run_id}/taskInstances/list", "favorite", "unfavorite")
}
"""Changes nothing of the DAG."""


@pytest.mark.database
def test_a_team_sees_and_acts_on_its_own_models_only(database_url: str, tmp_path: Path) -> None:
    dags, models, home = (tmp_path / name for name in ("dags", "models", "airflow"))
    for folder in (dags, models, home):
        folder.mkdir()
    (models / "alpha.yaml").write_text("model: alpha\nowner: red\nreaders: [auditors]\n")
    (models / "beta.yaml").write_text("model: beta\nowner: blue\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "NORIA_MODELS": str(models),
        "NORIA_HOME": str(tmp_path / "home"),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "plugins.access.manager.TeamAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ana:user,ben:user,vera:user,olga:op,nina:user,root:admin",
        "AIRFLOW__NORIA__TEAMS": "ana:red, ben:blue|green, vera:auditors, olga:blue",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database_url.replace("psycopg2", "asyncpg"),
    }
    done = subprocess.run(PROGRAM, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = next(line for line in done.stdout.splitlines() if line.startswith('{"passwords"'))
    answers = json.loads(told)
    _check_addresses(answers["asked"])
    marks = {dag: f"only-{dag.replace('.', '-')}" for dag in ("alpha.train", "beta.train", "noria_alerts")}
    seen = {
        user: {dag for dag, mark in marks.items() if mark in text or dag in text}
        for user, text in answers["listed"].items()
    }
    assert seen == {"ana": {"alpha.train"}, "nina": set(), "root": set(marks)}
    assert answers["events"] == {"ana": 403, "olga": 403, "root": 404}, "an event starts what waits for the asset"
    _check_passwords(answers["passwords"], (done.stdout + done.stderr).replace(told, ""), home)


def _check_addresses(asked: dict[str, Any]) -> None:
    own, others, nobodys = (asked[f"ana {dag}"] for dag in ("alpha.train", "beta.train", "noria_alerts"))
    assert own["told"]
    assert len(own["statuses"]) > 40
    assert 403 not in own["statuses"].values()
    for refused in (others, nobodys):
        assert not refused["told"]
        assert refused["statuses"].keys() == own["statuses"].keys()
        assert set(refused["statuses"].values()) == {403}
    reader = asked["vera alpha.train"]
    assert reader["told"]
    may = {way for way, code in reader["statuses"].items() if code != 403}
    assert {way.split()[0] for way in may - LOOKING} == {"GET"}
    assert "POST /api/v2/dags/{dag_id}/dagRuns" not in may


def _check_passwords(passwords: dict[str, str], output: str, home: Path) -> None:
    assert len(passwords) == 6
    assert not [user for user, password in passwords.items() if password in output]
    assert stat.S_IMODE((home / "simple_auth_manager_passwords.json.generated").stat().st_mode) == 0o600
