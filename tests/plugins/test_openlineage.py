"""OpenLineage's events of real runs: by file and by HTTP, from the source to a registered version, and a refusal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from include.datasets import land
from include.registry.mlflow_client import connect
from include.settings import PROJECT, Settings
from include.stack.postgres import Postgres
from plugins.operators import lineage, lineage_events
from tests.alerts.receivers import webhook
from tests.conftest import copied_database
from tests.lake.sql_world import sql_definition
from tests.plugins.probe_program import warm_parent

pytestmark = pytest.mark.database

MODEL = "tumor_malignant"
FIRST, SECOND = "2026-03-01T10:00:00+00:00", "2026-03-08T10:00:00+00:00"
DATABASE_PASSWORD, TOKEN = "word-of-the-database", "token-of-the-server"
Document = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What was told of the runs.

    :param states: the tasks' states of each run.
    :param by_file: events as the file holds them.
    :param by_http: events as a server has received them.
    """

    settings: Settings
    states: list[dict[str, str]]
    by_file: list[Document]
    by_http: list[Document]

    def last(self, task: str, kind: str) -> Document:
        """The newest event of a kind of a task."""
        found = [e for e in self.by_file if e["eventType"] == kind and e["job"]["name"] == f"{MODEL}.{task}"]
        return found[-1]


@pytest.fixture(scope="module")
def told(postgres: Postgres, schema_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The data and train DAGs, then the data DAG on a delivery that its gate refuses."""
    folder = tmp_path_factory.mktemp("openlineage")
    tracking = f"sqlite:///{folder}/mlflow.db"
    settings = Settings.from_environment({"NORIA_HOME": str(folder / "home"), "NORIA_TRACKING_URL": tracking})
    land(settings, MODEL)
    connect(settings).create_experiment(MODEL, str(folder / "artifacts"))  # else below the folder where steps run
    (folder / "dags").mkdir()
    shutil.copy(PROJECT / "dags" / f"{MODEL}.py", folder / "dags")
    delivered = (settings.store / "landing" / "tumors.csv").read_text()
    (folder / "bad.csv").write_text(delivered.replace("malignant", "a patient's word"))
    with (
        copied_database(postgres, schema_template) as registry,
        copied_database(postgres) as airflow,
        webhook() as server,
        warm_parent(settings.home, bare=False),
    ):
        url = make_url(registry).set(password=DATABASE_PASSWORD)  # over the socket everybody is let in
        events = folder / "events.json"
        transports = {
            "file": {"type": "file", "log_file_path": str(events), "append": True},
            "http": {"type": "http", "url": f"http://127.0.0.1:{server.port}", "endpoint": "lineage"},
        }
        environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow,
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",  # of a busy machine
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "noria-test",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "composite", "transports": transports}),
            "AIRFLOW_CONN_NORIA_SERVER": json.dumps({"conn_type": "http", "host": "127.0.0.1", "password": TOKEN}),
            "NORIA_HOME": str(settings.home),
            "NORIA_DATABASE_URL": url.render_as_string(hide_password=False),
            "NORIA_TRACKING_URL": tracking,
        }
        runs = (f"data,{FIRST}", f"train,{FIRST}", f"data,{SECOND},{folder / 'bad.csv'}")
        program = [sys.executable, str(PROJECT / "tests" / "plugins" / "lineage_program.py"), *runs]
        done = subprocess.run(program, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield Told(
            settings=replace(settings, database_url=registry),
            states=[json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")],
            by_file=[json.loads(line) for line in events.read_text().splitlines()],
            by_http=server.bodies,
        )


def version_of(dataset: Document) -> str | None:
    return (dataset["facets"].get("version") or {}).get("datasetVersion")


def short(dataset: Document) -> str:
    """The end of a dataset's name that tells it from others."""
    return str(dataset["name"]).partition("/store/")[2] or str(dataset["name"])


def test_the_way_from_source_to_version_can_be_walked_by_names_and_versions_alone(told: Told) -> None:
    data, train, _ = told.states
    assert set(data.values()) == {"success"}
    assert train["register"] == "success"
    made_by = {
        (written["namespace"], written["name"], version_of(written)): event
        for event in told.by_file
        if event["eventType"] == "COMPLETE"
        for written in event["outputs"]
    }
    version = told.last("train.register", "COMPLETE")["outputs"][0]
    assert (short(version), version_of(version)) == (f"models/{MODEL}", "1")
    way = [
        f"runs/{MODEL}", f"training/{MODEL}", f"lake/{MODEL}/features",
        f"staging/{MODEL}/features/accepted", f"staging/{MODEL}/features/staged", f"lake/{MODEL}/raw",
        f"staging/{MODEL}/raw/accepted", f"staging/{MODEL}/raw/staged", "landing/tumors.csv",
    ]  # fmt: skip
    dataset = version
    for name in way:
        event = made_by[dataset["namespace"], dataset["name"], version_of(dataset)]
        dataset = next(one for one in event["inputs"] if short(one) == name)
        assert version_of(dataset) is not None or dataset["name"].endswith("landing/tumors.csv")


def test_events_say_rows_columns_and_what_a_version_is(told: Told) -> None:
    raw = told.last("data.publish_raw", "COMPLETE")["outputs"][0]
    assert raw["outputFacets"]["outputStatistics"]["rowCount"] == 569
    assert {"name": "diagnosis", "type": "string"}.items() <= raw["facets"]["schema"]["fields"][-1].items()
    features = told.last("data.publish_features", "COMPLETE")["outputs"][0]
    event = told.last("train.register", "COMPLETE")
    facts = event["outputs"][0]["facets"]["noria_modelVersion"]["facts"]
    training_set = told.last("train.assemble", "COMPLETE")["outputs"][0]
    assert facts["made_from"]["training_set"] == version_of(training_set)
    assert facts["made_from"]["raw_version"] == version_of(raw)
    assert facts["made_from"]["features_version"] == version_of(features)
    assert facts["metrics"]["roc_auc"]["value"] > 0.9
    run = event["run"]["facets"]["noria_step"]
    assert (run["model"], run["step"], run["asOf"]) == (MODEL, "register", FIRST)
    assert event["job"]["namespace"] == "noria-test"


def test_what_gates_find_are_assertions_also_where_they_refuse(told: Told) -> None:
    passed, refused = told.last("data.gate_raw", "COMPLETE"), told.last("data.gate_raw", "FAIL")
    assert told.states[2]["gate_raw"] == "failed"
    for event, met in ((passed, True), (refused, False)):
        dataset = event["inputs"][0]
        assert short(dataset) == f"staging/{MODEL}/raw/staged"
        found = {
            (one["assertion"], one.get("column")): one
            for one in dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
        }
        assert found["gate", None]["success"] is met
        known = found["expect_column_values_to_be_in_set", "diagnosis"]
        assert (known["success"], known["severity"]) == (met, "error")
        assert found["expect_column_values_to_be_unique", "sample"]["success"]
    assert refused["outputs"][0]["facets"] == {}, "nothing was accepted, so no version of it is named"
    decided = told.last("train.decide", "COMPLETE")["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {"promote"} < {one["assertion"] for one in decided}


def test_the_server_receives_what_the_file_holds(told: Told) -> None:
    assert len(told.by_file) > 40
    assert told.by_http == told.by_file
    assert {event["eventType"] for event in told.by_file} == {"START", "COMPLETE", "FAIL"}


def test_no_secret_and_no_value_of_a_row_is_told(told: Told) -> None:
    text = json.dumps(told.by_file)
    for secret in (DATABASE_PASSWORD, TOKEN, "postgres@", "patient's word"):
        assert secret not in text


def test_a_source_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = {"conn_type": "postgres", "host": "db.example", "port": 5433, "schema": "sales", "login": "clerk"}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({**warehouse, "password": "word/of a:secret"}))
    for module in (lineage, lineage_events):
        monkeypatch.setattr(module, "arrangement_of", lambda *_: sql_definition())
    step = ("ingest", sql_definition().model, FIRST, {})
    assert lineage.told_of(*step) is None, "nobody is told, so nothing is asked for"
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", '{"type": "console"}')
    told = lineage.told_of(*step)
    assert told is not None
    said = lineage_events.lineage_of(told)
    assert [(one.namespace, one.name) for one in said.inputs] == [("postgres://db.example:5433", "sales.orders")]
    assert "clerk" not in str(said)
    assert "secret" not in f"{said} {told}"
    assert lineage_events.lineage_of(replace(told, settings=None)).inputs == [], "not known before the step begins"


def test_where_it_is_off_nothing_of_it_is_imported(tmp_path: Path) -> None:
    look = (
        "import sys; from airflow.plugins_manager import _get_plugins; import plugins.operators.step; "
        "found = [p for p in _get_plugins()[0] if 'OpenLineage' in p.name]; "
        "print(len(found), [p.listeners for p in found], [m for m in sys.modules if m.startswith('openlineage')])"
    )
    environment = {"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", look],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "1 [[]] []"
