"""Runs started by the data itself: a partition arrives, drift is found."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from include.stack.airflow_api import FINISHED
from tests.alerts.receivers import Hook, webhook
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import landing, make_live, relax_training_suite

pytestmark = pytest.mark.e2e


def _live_and_told(document: Document) -> None:
    make_live(document)
    document["alerts"] = {"to": ["live_hook"]}


def test_a_partition_is_awaited_without_a_worker_slot_and_drift_is_told_and_starts_one_training(line: Line) -> None:
    with webhook() as hook:
        line.connect_webhook("live_hook", hook.port)
        _arrival_and_drift(line, hook)


def _arrival_and_drift(line: Line, hook: Hook) -> None:
    line.define("flights_live", "flight_delay", _live_and_told)
    relax_training_suite(line.home / "expectations", "flights_live")
    files, archive = landing(line, "flights_live"), landing(line, "flights")
    line.land_flights()
    days = [date(2013, 6, 1) + timedelta(days=n) for n in range(30)]
    for day in days[:23]:
        shutil.copy(archive / f"{day}.parquet", files)
    line.wait_for_dag("flights_live.retire")
    _arrives_while_a_task_waits(line, archive, files, days[23])
    as_of = f"{days[24]}T00:00:00-04:00"
    done = line.command("run", "--model", "flights_live", "--as-of", as_of)
    assert done.returncode == 0, done.stdout + done.stderr
    assert line.summary("flights_live")["monitoring"]["drift"] is False
    assert [body["event"] for body in hook.bodies] == ["promotion"]
    for day in days[24:30]:
        _land_shifted(archive / f"{day}.parquet", files / f"{day}.parquet")
    line.trigger("flights_live.data", "shifted", {"first": str(days[24]), "last": str(days[29])})
    assert line.finish("flights_live.data", "shifted") == "success"
    started = _monitor_twice(line, f"{days[29] + timedelta(days=1)}T00:00:00-04:00")
    _is_told(line, hook, started)


def _arrives_while_a_task_waits(line: Line, archive: Path, files: Path, day: date) -> None:
    conf = {"as_of": f"{day + timedelta(days=1)}T00:00:00-04:00", "wait_minutes": 10}
    line.trigger("flights_live.data", "arrival", conf)
    waiting = lambda: line.tasks("flights_live.data", "arrival")["await_partition"].state == "deferred"  # noqa: E731
    wait(waiting, 60, "the sensor never deferred")
    pool = line.api.call("GET", "/pools/default_pool")
    assert pool["deferred_slots"] >= 1
    assert pool["include_deferred"] is False, "a deferred task would hold a slot"
    shutil.copy(archive / f"{day}.parquet", files)
    assert line.finish("flights_live.data", "arrival") == "success"


def _land_shifted(source: Path, target: Path) -> None:
    """The same flights in a world that is hotter, windier and of older planes."""
    shifted = (
        "SELECT * REPLACE (temp * 0.3 AS temp, least(wind_speed * 2.5, 45) AS wind_speed, "
        "plane_year - 8 AS plane_year, "
        "greatest(seats - 60, 2) AS seats, least(humid + 25, 100) AS humid, visib * 0.5 AS visib, 'JFK' AS origin, "
        "distance * 0.5 AS distance, 600 + sched_dep_time % 100 AS sched_dep_time)"
    )
    duckdb.sql(f"COPY ({shifted} FROM read_parquet('{source}')) TO '{target}' (FORMAT parquet)")


def _monitor_twice(line: Line, as_of: str) -> str:
    """Check twice; the run that this has started."""
    for attempt in ("drift-1", "drift-2"):
        line.trigger("flights_live.monitor", attempt, {"as_of": as_of})
        assert line.finish("flights_live.monitor", attempt) == "success"
    verdict = line.api.output("flights_live.monitor", "drift-1", "monitor")
    assert verdict["drift"] is True
    started = [run for run in line.api.runs("flights_live.train") if run["dag_run_id"].startswith("drift")]
    assert len(started) == 1
    assert line.finish("flights_live.train", started[0]["dag_run_id"]) in FINISHED
    return str(started[0]["dag_run_id"])


def _is_told(line: Line, hook: Hook, started: str) -> None:
    """Drift once, with the start, and what it does to answers; then its end: promotion, or that the champion stays."""
    drift = [body for body in hook.bodies if body["event"] == "drift"]
    assert [body["title"] for body in drift] == ["The newest data of flights_live has drifted; a retraining starts"]
    assert drift[0]["link"] == f"{line.stack.airflow_url}/dags/flights_live.monitor/runs/drift-1"
    decay = [(body["title"], body["details"]["retrain"]) for body in hook.bodies if body["event"] == "decay"]
    assert decay == [("The answers of flights_live have become worse", False)], "drift has started the only retraining"
    start_id = started.removeprefix("drift__")
    assert drift[0]["details"]["start_id"] == start_id
    query = "SELECT evidence FROM deployment_ledger WHERE model = 'flights_live' AND action = 'retrain'"
    assert [row["evidence"]["start_id"] for row in line.rows(query)] == [start_id]
    promoted = line.api.output("flights_live.train", started, "decide")["promote"]
    end = ("promotion", None) if promoted else ("retrain_lost", start_id)
    wait(
        lambda: (
            (hook.bodies[-1]["event"], hook.bodies[-1]["details"].get("started_by")) == end and len(hook.bodies) > 3
        ),
        240,
        lambda: f"{end} was not told: {[body['title'] for body in hook.bodies]}",
    )
    assert len(hook.bodies) == 4
    ended = [run["state"] for run in line.api.runs("noria_alerts") if run["state"] in FINISHED]
    assert set(ended) == {"success"}, "and the DAG of alerts, which runs all the while, tells nothing twice"
