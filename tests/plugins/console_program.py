"""Asks Airflow's own application for the console's pages and data, as users of two teams; prints what it answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.utils.db import initdb

from tests.plugins.team_program import login, run_dags, write_dags

ENDPOINTS = (
    "/noria/models/",
    "/noria/models/alpha",
    "/noria/models/assets/models.svg",
    "/noria/models/assets/absent.js",
    "/noria/api/models",
    "/noria/api/models/costs",
    "/noria/api/models/alpha",
    "/noria/api/models/alpha/lineage",
    "/noria/api/models/alpha/lineage/tables/raw/0",
    "/noria/api/models/alpha/lineage/requests/01JD",
    "/noria/api/models/alpha/ledger?before=1",
    "/noria/api/models/alpha/versions/1/comparison",
    "/noria/api/models/alpha/clients",
    "/noria/api/models/tumor_malignant/clients",
    "/noria/reports/alpha/page.html",
    "/noria/tasks/alpha.train/work/report?run_id=r",
    "/noria/tasks/alpha.train/work/mlflow?run_id=r",
    "/noria/pods/alpha.train/work?run_id=r",
)
TRAINING = """
from airflow.sdk import DAG, task

with DAG(dag_id="alpha.deploy", schedule=None) as dag:

    @task
    def train():
        return {"run_id": "trained-here"}

    train()
"""
OTHERS = ("/noria/api/models/beta", "/noria/api/models/gamma", "/noria/reports/alpha/x/../y")


def main() -> None:
    """Print, as JSON, the answers by user and address."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    write_dags(folder, ["alpha.train", "alpha.rollback", "alpha.restore", "beta.train", "tumor_malignant.train"])
    (folder / "alpha_deploy.py").write_text(TRAINING)
    initdb()
    run_dags(folder)

    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"), raise_server_exceptions=False)
    passwords = json.loads(
        (Path(os.environ["AIRFLOW_HOME"]) / "simple_auth_manager_passwords.json.generated").read_text()
    )
    headers = {user: login(client, user, password) for user, password in passwords.items()} | {"nobody": {}}
    client.cookies.clear()
    answers = {
        f"{user} {address}": ask(client, address, said)
        for user, said in headers.items()
        for address in (*ENDPOINTS, *OTHERS)
    }
    tracked = {user: leads_to_mlflow(client, headers[user]) for user in ("ana", "ben")}
    done = {"answers": answers, "acts": acts(client, headers), "forged": forged(client, headers), "tracked": tracked}
    page = ask(client, "/noria/api/models/alpha", headers["ana"])["body"]
    done["started_by"] = [run["triggering_user_name"] for run in page["runs"] if run["run_type"] == "manual"]
    os.environ["NORIA_DATABASE_URL"] = "postgresql+psycopg2://noria@127.0.0.1:9/noria"
    done["away"] = {address: ask(client, address, headers["root"]) for address in ENDPOINTS if "api" in address}
    print("ANSWERS " + json.dumps(done))


def ask(client: Any, address: str, headers: dict[str, str]) -> dict[str, Any]:
    """What an address answers."""
    answer = client.get(address, headers=headers)
    body = answer.json() if "json" in answer.headers.get("content-type", "") else answer.text
    policy = answer.headers.get("content-security-policy", "")
    return {"status": answer.status_code, "body": body, "policy": policy}


def leads_to_mlflow(client: Any, headers: dict[str, str]) -> list[Any]:
    """Where the link of a task leads: in a run that has trained, and in one that was started for a version."""
    (trained,) = client.get("/api/v2/dags/alpha.deploy/dagRuns", headers=headers).json().get("dag_runs") or [{}]
    body = {"dag_run_id": "of-two", "logical_date": None, "conf": {"version": 2}}
    client.post("/api/v2/dags/alpha.rollback/dagRuns", headers=headers, json=body)
    runs = (("alpha.deploy", trained.get("dag_run_id", "r")), ("alpha.rollback", "of-two"))
    found = [
        client.get(f"/noria/tasks/{dag}/work/mlflow?run_id={quote(run)}", headers=headers, follow_redirects=False)
        for dag, run in runs
    ]
    return [answer.headers.get("location", answer.status_code) for answer in found]


def acts(client: Any, headers: dict[str, dict[str, str]]) -> dict[str, int]:
    """Status of what each user's buttons send, by user."""
    body = {"logical_date": None, "conf": {}, "note": "why"}
    address = "/api/v2/dags/alpha.train/dagRuns"
    return {user: client.post(address, headers=said, json=body).status_code for user, said in headers.items()}


def forged(client: Any, headers: dict[str, dict[str, str]]) -> dict[str, Any]:
    """What becomes of a form that another site posts from an administrator's browser."""
    token = headers["root"]["Authorization"].removeprefix("Bearer ")
    body = json.dumps({"logical_date": None, "conf": {}})
    address = "/api/v2/dags/alpha.train/dagRuns"
    client.cookies.set("_token", token)
    plain = client.post(address, content=body, headers={"Content-Type": "text/plain"}).status_code
    form = client.post(address, data={"logical_date": "", "conf": "{}"}).status_code
    asked = client.options(address, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
    client.cookies.clear()
    return {"plain": plain, "form": form, "allowed_origin": asked.headers.get("access-control-allow-origin")}


if __name__ == "__main__":
    main()
