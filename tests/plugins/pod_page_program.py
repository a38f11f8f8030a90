"""Asks Airflow's own application for the page of a pod, with and without a login; prints what it answers."""

from __future__ import annotations

import json
from typing import Any

from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import update

from include.registry import database
from include.registry.database import ensure_schema
from include.registry.tables import model_version
from include.reports.model_card_life import keep_card
from plugins.operators.environment import project_settings
from plugins.operators.pod_link import RECORD
from tests.plugins.tiny_dag import dag
from tests.reports.cards import make_model_card, make_version

PAGE = "/noria/pods/tiny/first"
CARD = "/noria/models/late/versions/4/card"


def ask_for_cards(client: TestClient) -> dict[str, Any]:
    """The card of a version as page, Markdown and JSON, and of one that there is not."""
    settings = project_settings()
    ensure_schema(settings.database_url)
    answers: dict[str, Any] = {"none": client.get(CARD).status_code}
    with database.transaction(settings.database_url) as connection:
        connection.execute(model_version.insert().values(vars(make_version())))
    answers["without"] = client.get(CARD).json()
    keep_card(settings, make_model_card(), page=None)
    page = client.get(CARD)
    answers |= {"page": page.text, "policy": page.headers["content-security-policy"]}
    answers["markdown"] = client.get(CARD, params={"form": "markdown"}).text
    answers["json"] = client.get(CARD, params={"form": "json"}).json()
    answers["odd"] = [
        client.get(f"/noria/models/{path}/card").status_code for path in ("La%20te/versions/4", "late/versions/x")
    ]
    return answers


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
    answers["cards"] = ask_for_cards(client)
    client.cookies.clear()
    answers["card of nobody"] = client.get(CARD).status_code
    print("ANSWERS " + json.dumps(answers))


if __name__ == "__main__":
    main()
