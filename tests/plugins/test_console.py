"""The console in Airflow's real application: behind its login and teams, without a way to act but Airflow's own API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.settings import PROJECT, Settings
from tests.console.seeding import seed

MLFLOW = {"conn_type": "http", "host": "127.0.0.1", "port": 9, "extra": {"page": "https://mlflow.example.com/"}}
PROGRAM = PROJECT / "tests" / "plugins" / "console_program.py"


@pytest.fixture
def world(stored_settings: Settings, database_url: str, tmp_path: Path) -> dict[str, str]:
    dags, models, home = (tmp_path / name for name in ("dags", "models", "airflow"))
    for folder in (dags, models, home):
        folder.mkdir()
    (models / "alpha.yaml").write_text("model: alpha\nowner: red\nreaders: [auditors]\n")
    (models / "beta.yaml").write_text("model: beta\nowner: blue\n")
    shutil.copy(PROJECT / "include" / "models" / "tumor_malignant.yaml", models)
    page = replace(stored_settings, home=tmp_path / "home").store / "reports" / "alpha" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>a gate's page</p>")
    seed(stored_settings, ["alpha", "beta"], versions=2, entries=5, checks=3)
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "NORIA_MODELS": str(models),
        "NORIA_HOME": str(stored_settings.home),
        "NORIA_STORE": str(stored_settings.store),
        "NORIA_DATABASE_URL": stored_settings.database_url,
        "AIRFLOW_CONN_NORIA_MLFLOW": json.dumps(MLFLOW),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "plugins.access.manager.TeamAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ana:user,ben:user,vera:user,vic:viewer,root:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__NORIA__TEAMS": "ana:red, ben:blue, vera:auditors, vic:red",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database_url.replace("psycopg2", "asyncpg"),
    }


@pytest.mark.database
def test_the_console_shows_each_team_its_models_and_lets_nobody_else_look_or_act(world: dict[str, str]) -> None:
    told = ask(world)
    answers = told["answers"]
    refused = {address for address, answer in answers.items() if address.startswith("nobody ")}
    assert {answers[address]["status"] for address in refused} == {401}

    assert listed(answers, "ana") == listed(answers, "vera") == listed(answers, "vic") == {"alpha"}
    assert listed(answers, "ben") == {"beta"}
    assert listed(answers, "root") == {"alpha", "beta", "tumor_malignant"}
    for user, model, status in (
        ("ana", "alpha", 200), ("ana", "beta", 403), ("ben", "alpha", 403), ("root", "beta", 200),
        ("ana", "gamma", 403), ("root", "gamma", 404),
    ):  # fmt: skip
        if model != "gamma" or user in ("ana", "root"):
            assert answers[f"{user} /noria/api/models/{model}"]["status"] == status, (user, model)
    parts = ("lineage", "lineage/tables/raw/0", "lineage/requests/01JD", "clients", "versions/1/comparison")
    for address in (*parts, "ledger?before=1"):
        assert answers[f"ben /noria/api/models/alpha/{address}"]["status"] == 403
    assert answers["ben /noria/reports/alpha/page.html"]["status"] == 403
    check_content(answers)
    may = {
        user: {
            action["name"]: action["allowed"]
            for action in answers[f"{user} /noria/api/models/alpha"]["body"]["actions"]
        }
        for user in ("ana", "vera", "vic", "root")
    }
    both = dict.fromkeys(("train", "deploy", "rollback", "restore"), True)
    neither = dict.fromkeys(both, False)
    assert may == {"ana": both, "vera": neither, "vic": neither, "root": both}
    assert told["tracked"] == {
        "ana": [f"https://mlflow.example.com/#/runs/{run}" for run in ("trained-here", "run2")],
        "ben": [403, 403],
    }
    assert told["acts"] == {"ana": 200, "ben": 403, "vera": 403, "vic": 403, "root": 200, "nobody": 401}
    assert {"ana", "root"} <= set(told["started_by"]), "a run is in the name of whoever started it"
    assert told["forged"]["plain"] == told["forged"]["form"] == 422, "what a foreign page can send is no request"
    assert told["forged"]["allowed_origin"] is None
    assert {answer["status"] for answer in told["away"].values()} <= {200, 404, 503}
    away = told["away"]["/noria/api/models"]
    assert away["status"] == 503
    assert "does not answer" in away["body"]["detail"]


def check_content(answers: dict[str, Any]) -> None:
    page = answers["ana /noria/api/models/alpha"]["body"]
    assert page["user"] == "ana"
    assert [version["version"] for version in page["story"]["versions"]] == [1, 2]
    assert page["tracking"] == "https://mlflow.example.com"
    assert page["problem"], "a definition that cannot be read is told"
    assert {run["dag_id"] for run in page["runs"]} == {
        *("alpha.train", "alpha.rollback", "alpha.restore", "alpha.deploy")
    }
    examples = answers["root /noria/api/models/tumor_malignant/clients"]["body"]
    assert [one["language"] for one in examples] == ["curl", "python", "javascript", "java"]
    assert all("tumor_malignant" in one["text"] and one["command"] for one in examples)
    assert answers["ana /noria/api/models/tumor_malignant/clients"]["status"] == 403
    assert answers["ana /noria/api/models/alpha/clients"]["status"] == 404, "a broken definition has no signature"
    assert answers["ben /noria/api/models/costs"]["body"] == {"beta": {"lately": 0.06, "in_all": 0.06}}
    compared = answers["ana /noria/api/models/alpha/versions/1/comparison"]["body"]
    assert compared["challenger"]["roc_auc"]["value"] == 0.7
    report = answers["ana /noria/reports/alpha/page.html"]
    assert report["status"] == 200
    assert "a gate's page" in report["body"]
    assert "script" not in report["policy"]
    for address in ("/noria/models/", "/noria/models/alpha"):
        index = answers[f"ana {address}"]
        assert index["status"] == 200
        assert '<script type="module"' in index["body"]
        assert "script-src 'self';" in index["policy"]
    assert answers["ana /noria/models/assets/models.svg"]["status"] == 200
    assert answers["ana /noria/models/assets/absent.js"]["status"] == 404
    assert answers["ana /noria/reports/alpha/x/../y"]["status"] == 404
    unknown = answers["ana /noria/api/models/alpha/lineage/requests/01JD"]
    assert unknown["status"] == 404
    assert "has no answered request" in unknown["body"]["detail"]
    lineage = answers["ana /noria/api/models/alpha/lineage"]
    assert lineage["status"] == 503
    assert "MLflow did not answer" in lineage["body"]["detail"]


def listed(answers: dict[str, Any], user: str) -> set[str]:
    return {line["overview"]["model"] for line in answers[f"{user} /noria/api/models"]["body"]["models"]}


def ask(environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("ANSWERS "))
    found: dict[str, Any] = json.loads(line.removeprefix("ANSWERS "))
    return found
