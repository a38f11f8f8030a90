"""Whole runs of the deployment's DAG in Airflow: to champion, to a person's no, and to the server's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from include.settings import PROJECT
from include.stack.postgres import Postgres
from tests.plugins.connections import connection
from tests.plugins.probe_program import warm_parent

SCRIPT = PROJECT / "tests" / "plugins" / "deployment" / "deploy_dag.py"
PROGRAM = "tests.plugins.deployment.steps_program"
pytestmark = [pytest.mark.database, pytest.mark.by_turns]
WAY = ["deploy", "verify", "shadow", "await_shadow", "ask", "approve", "canary_10", "await_canary_10", "promote"]


@pytest.fixture(scope="module")
def plays(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("airflow")
    for name in ("deploy_airflow", "deploy_noria"):
        postgres.create_database(name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("deploy_airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(SCRIPT.parent),
        "NORIA_HOME": str(folder / "home"),
        "NORIA_MODELS": str(folder / "models"),
        "NORIA_DATABASE_URL": postgres.url("deploy_noria"),
        "AIRFLOW_CONN_NORIA_DATABASE": connection(postgres.url("deploy_noria")),
        "AIRFLOW_CONN_A_FILE": json.dumps({"conn_type": "fs", "extra": {"path": str(folder / "alerts.jsonl")}}),
        "AIRFLOW__API__BASE_URL": "https://airflow.example",
        "NORIA_TRACKING_URL": f"sqlite:///{folder / 'mlflow.db'}",
    }
    shutil.copytree(PROJECT / "include" / "models", folder / "models")
    with (folder / "models" / "bike_demand.yaml").open("a") as file:
        file.write("\ndeployment: {stages: [shadow, canary: 10, champion], approval: required}\n")
        file.write("alerts: {to: [a_file, not_there]}\n")
    pools = folder / "pools.yaml"
    pools.write_text("airflow: {pools: []}")
    migrate = ["-m", "plugins.settings_loader", "--migrate", str(pools)]
    output = ""
    (folder / "home").mkdir()
    with warm_parent(folder / "home", program=PROGRAM, bare=False):
        for arguments in (migrate, [str(SCRIPT)]):
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=PROJECT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
            output = done.stdout
    found = json.loads([line for line in output.splitlines() if line.startswith('{"approved"')][-1])
    yield found | {"alerts": [json.loads(line) for line in (folder / "alerts.jsonl").read_text().splitlines()]}
    for name in ("deploy_airflow", "deploy_noria"):
        postgres.drop_database(name)


def test_an_approved_version_becomes_champion_and_nothing_is_withdrawn(plays: Any) -> None:
    play = plays["approved"]
    assert play["champion"] == 2
    assert play["states"] == {**dict.fromkeys(["resolve_as_of", *WAY], "success"), "withdraw": "skipped"}
    assert play["run"] == "success"
    assert play["outputs"]["await_shadow"]["verdict"] == "advance"
    approval = play["outputs"]["approve"]
    assert (approval["approved_by"], approval["user_id"], approval["note"]) == ("Bea", "7", "I looked at it")


def test_the_approvers_name_and_note_are_in_the_ledger(plays: Any) -> None:
    first, *ledger = plays["approved"]["ledger"]
    assert first[0] == "promote"
    assert [(action, version, actor) for action, version, actor, _ in ledger] == [
        ("stage", 2, "ana"),
        ("stage", 2, "ana"),
        ("stage", 2, "ana"),
        ("stage", 2, "Bea"),
        ("promote", 2, "ana"),
    ]
    assert "approved by Bea (I looked at it)" in ledger[3][3]
    assert "shadow ended well: 300 rows are enough" in ledger[3][3]


def test_a_persons_no_ends_the_run_red_and_withdraws(plays: Any) -> None:
    play = plays["rejected"]
    assert (play["run"], play["champion"]) == ("failed", 2)
    assert play["states"]["approve"] == play["states"]["withdraw"] == "failed"
    assert play["states"]["canary_10"] == play["states"]["promote"] == "upstream_failed"
    action, version, actor, reason = play["ledger"][-1]
    assert (action, version, actor) == ("rollback", 2, "Bea")
    assert reason == "Bea rejected bike_demand version 3: I looked at it"


def test_a_challenger_that_is_withdrawn_while_a_person_thinks_ends_the_run_at_once(plays: Any) -> None:
    play = plays["harmful"]
    assert (play["run"], play["champion"]) == ("failed", 2)
    assert play["states"]["approve"] == play["states"]["withdraw"] == "failed"
    assert play["ledger"][-1][2:] == ["noria server", "it raised on 40 of 100 rows"]


def test_each_runs_end_is_told_once_by_what_happened_and_not_by_the_tasks_that_failed(plays: Any) -> None:
    told = [(alert["event"], alert["title"]) for alert in plays["alerts"]]
    assert told == [
        ("promotion", "Version 1 of bike_demand is the champion now, its first champion"),
        ("promotion", "Version 2 of bike_demand is the champion now, in place of version 1"),
        ("rollback", "Version 3 of bike_demand is withdrawn from the stage approval"),
        ("rollback", "Version 4 of bike_demand is withdrawn from the stage approval"),
    ]
    assert plays["alerts"][2]["reason"] == "Bea rejected bike_demand version 3: I looked at it"
    assert plays["alerts"][3]["link"].startswith("https://airflow.example/dags/bike_demand.deploy/runs/")
