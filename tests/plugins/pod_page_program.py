"""Asks Airflow's own application for the page of a pod, with and without a login; prints what it answers."""

from __future__ import annotations

import json

from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import update

from plugins.operators.pod_link import RECORD
from tests.plugins.tiny_dag import dag

PAGE = "/noria/pods/tiny/first"


def main() -> None:
    run = dag.test(run_conf={"as_of": "2013-10-06T12:00:00-04:00"})
    event = {"type": "Warning", "reason": "Failed", "message": "no <such> image", "count": 3, "at": "2013-10-01"}
    record = {"name": "pod-1", "namespace": "noria", "phase": "Failed", "node": "n1", "started": "", "events": [event]}
    with create_session() as session:
        XComModel.set(key=RECORD, value=record, dag_id="tiny", task_id="first", run_id=run.run_id, session=session)
    answers = {}
    client = TestClient(create_app(apps="core"))
    manager = get_auth_manager()
    token = manager.generate_jwt(SimpleAuthManagerUser(username="vera", role="VIEWER"))
    ask = {"run_id": run.run_id}
    answers["nobody"] = client.get(PAGE, params=ask).status_code
    client.cookies.set("_token", token)
    page = client.get(PAGE, params=ask)
    answers["viewer"], answers["page"] = page.status_code, page.text
    answers["none"] = client.get("/noria/pods/tiny/second", params=ask).status_code
    with create_session() as session:
        session.execute(update(XComModel).where(XComModel.key == RECORD).values(value={"name": "p", "namespace": "n"}))
    answers["away"] = client.get(PAGE, params=ask).text
    print("ANSWERS " + json.dumps(answers))


if __name__ == "__main__":
    main()
