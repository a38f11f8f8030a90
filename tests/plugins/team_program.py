"""Airflow's real API over a database of its own: what two teams' users and an administrator get from each address.

Its DAGs are two models' and one that is no model's; each has a run with a result and a log line that tell whose it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.utils.db import initdb

MODELS = {"alpha": "red", "beta": "blue"}
DAG_FILE = """
from airflow.sdk import DAG, task

with DAG(dag_id="{dag_id}", schedule=None, tags=["{mark}"]) as dag:

    @task
    def work():
        print("{mark}-in-the-log")
        return "{mark}-in-the-result"

    work()
"""


def mark(dag_id: str) -> str:
    """A text that is only in this DAG, its results and its log."""
    return "only-" + dag_id.replace(".", "-")


def write_dags(folder: Path, dag_ids: list[str]) -> None:
    """One file for each DAG, as in dags/."""
    for dag_id in dag_ids:
        (folder / f"{dag_id.replace('.', '_')}.py").write_text(DAG_FILE.format(dag_id=dag_id, mark=mark(dag_id)))


def run_dags(folder: Path) -> None:
    """Run each DAG once, into the database."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagBundleModel(name="dags-folder"))
    bag = DagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "dags-folder", None)
    for dag in bag.dags.values():
        dag.test(use_executor=False)


def main() -> None:
    """Print, as JSON, each user's answers."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    write_dags(folder, [*(f"{model}.train" for model in MODELS), "noria_alerts"])
    initdb()
    run_dags(folder)

    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"), raise_server_exceptions=False)
    passwords = json.loads(
        (Path(os.environ["AIRFLOW_HOME"]) / "simple_auth_manager_passwords.json.generated").read_text()
    )
    headers = {user: login(client, user, password) for user, password in passwords.items()}
    addresses = client.get("/openapi.json", headers=headers["root"]).json()["paths"]
    runs = client.get("/api/v2/dags/~/dagRuns", headers=headers["root"]).json()["dag_runs"]
    run_of = {run["dag_id"]: run["dag_run_id"] for run in runs}
    asked = {
        f"{user} {dag}": ask(client, addresses, headers[user], dag, run_of[dag])
        for user, dag in [
            ("ana", "alpha.train"),
            ("ana", "beta.train"),
            ("ana", "noria_alerts"),
            ("vera", "alpha.train"),
        ]
    }
    listed = {user: lists(client, addresses, headers[user]) for user in ("ana", "nina", "root")}
    event = {"asset_id": 1, "extra": {}}
    events = {
        user: client.post("/api/v2/assets/events", headers=headers[user], json=event).status_code
        for user in ("ana", "olga", "root")
    }
    print(json.dumps({"passwords": passwords, "asked": asked, "listed": listed, "events": events}))


def login(client: Any, user: str, password: str) -> dict[str, str]:
    """The header of a user who logs in as everybody does."""
    answer = client.post("/auth/token", json={"username": user, "password": password})
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def lists(client: Any, addresses: dict[str, Any], headers: dict[str, str]) -> str:
    """All that the addresses tell which list something of all DAGs."""
    told = []
    for path in (path for path, methods in addresses.items() if "get" in methods):
        filled = path
        for name in ("dag_id", "dag_run_id", "run_id", "task_id"):
            filled = filled.replace(f"{{{name}}}", "~")
        if "{" not in filled and "logout" not in filled and "login" not in filled:
            told.append(client.get(filled, headers=headers).text)
    return " ".join(told)


def ask(client: Any, addresses: dict[str, Any], headers: dict[str, str], dag: str, run: str) -> dict[str, Any]:
    """Status of each address that names the DAG, by method and path; and whether its result or log was told."""
    values = {"dag_id": dag, "dag_run_id": run, "run_id": run, "task_id": "work", "task_instance_id": "work"}
    values |= {"map_index": "-1", "try_number": "1", "xcom_key": "return_value", "version_number": "1"}
    statuses, texts = {}, []
    for path, methods in addresses.items():
        filled = path
        for name, value in values.items():
            filled = filled.replace(f"{{{name}}}", value)
        if "{dag_id}" not in path or "{" in filled:
            continue
        for method in sorted(set(methods) & {"get", "post", "patch", "put"}):
            body = None if method == "get" else body_for(method, dag, run, filled)
            answer = client.request(method.upper(), filled, headers=headers, json=body)
            statuses[f"{method.upper()} {path}"] = answer.status_code
            texts.append(answer.text)
    return {"statuses": statuses, "told": mark(dag) + "-in-the" in " ".join(texts)}


def body_for(method: str, dag: str, run: str, path: str) -> dict[str, Any]:
    """A body that an address takes; for some, which are refused before it is looked at, any."""
    match path.removeprefix(f"/api/v2/dags/{dag}").removeprefix(f"/dagRuns/{run}"):
        case "/dagRuns" if method == "patch":
            return {"actions": [{"action": "delete", "entities": ["no-such-run"]}]}
        case "/dagRuns":
            return {"logical_date": None}
        case "/clearDagRuns":
            return {"dry_run": True, "dag_runs": [{"dag_run_id": run}]}
        case "/clearTaskInstances" | "/clear":
            return {"dry_run": True}
    return {}


if __name__ == "__main__":
    main()
