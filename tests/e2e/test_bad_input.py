"""Bad input in the running Airflow: one clear error, nothing published, nobody else harmed."""

from __future__ import annotations

import shutil

import pytest

from tests.alerts.receivers import Hook, webhook
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import landing, make_live

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]


def test_a_broken_definition_is_one_import_error_and_harms_no_other_model(line: Line) -> None:
    line.wait_for_dag("flight_delay.train")
    line.define("flights_broken", "flight_delay", lambda document: document["training"].update({"windw": "9d"}))
    wait(lambda: bool(line.api.import_errors()), 90, "no import error was shown")
    errors = line.api.import_errors()
    (line.home / "dags" / "flights_broken.py").unlink()
    assert len(errors) == 1
    assert "flights_broken.yaml" in next(iter(errors.values()))
    assert "window" in next(iter(errors.values()))
    assert line.api.has_dag("flight_delay.train")
    assert not line.api.has_dag("flights_broken.train")


def _live_and_told(document: Document) -> None:
    make_live(document)
    document["alerts"] = {"to": ["corrupt_hook"]}


def test_a_corrupted_day_stops_at_the_raw_gate_is_told_once_and_the_next_good_day_passes(line: Line) -> None:
    with webhook() as hook:
        line.connect_webhook("corrupt_hook", hook.port)
        _corrupted_and_good(line, hook)


def _corrupted_and_good(line: Line, hook: Hook) -> None:
    line.define("flights_corrupt", "flight_delay", _live_and_told)
    files, archive = landing(line, "flights_corrupt"), landing(line, "flights")
    line.land_flights()
    good = (archive / "2013-03-02.parquet").read_bytes()
    (files / "2013-03-02.parquet").write_bytes(good[: len(good) // 2])
    shutil.copy(archive / "2013-03-03.parquet", files)
    line.wait_for_dag("flights_corrupt.data")

    line.trigger("flights_corrupt.data", "bad", {"first": "2013-03-02", "last": "2013-03-02"})
    assert line.finish("flights_corrupt.data", "bad") == "failed"
    tasks = line.tasks("flights_corrupt.data", "bad")
    assert (tasks["gate_raw"].state, tasks["gate_raw"].attempt) == ("failed", 1)
    assert tasks["publish_raw"].state == "upstream_failed"
    assert not (line.settings.store / "lake" / "flights_corrupt" / "raw").exists()
    page = next((line.settings.store / "quarantine" / "flights_corrupt" / "2013-03-02").glob("*.html")).read_text()
    assert "2013-03-02" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    (alert,) = hook.bodies
    assert (alert["event"], alert["subject"], alert["details"]["stage"]) == ("gate_refused", "2013-03-02", "raw")
    assert alert["link"] == f"{line.stack.airflow_url}/dags/flights_corrupt.data/runs/bad"
    assert line.settings.store.joinpath(alert["links"]["page"]).is_file()

    line.trigger("flights_corrupt.data", "good", {"first": "2013-03-03", "last": "2013-03-03"})
    assert line.finish("flights_corrupt.data", "good") == "success"
    assert line.api.output("flights_corrupt.data", "good", "publish_features")["rows"] > 500
    assert len(hook.bodies) == 1
