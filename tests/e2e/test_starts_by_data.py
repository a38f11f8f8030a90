"""Runs started by the data itself: a partition arrives, drift is found."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
import requests

from include.lake.table import LakeTable
from include.stack.airflow_api import FINISHED
from tests.alerts.receivers import Hook, webhook
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import landing, make_live, relax_training_suite

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]


def _live_and_told(document: Document) -> None:
    """Told by a webhook; what weather does from one week to the next is no drift, and one stormy day no decay."""
    make_live(document)
    document["monitoring"]["drift"]["share_of_features"] = 0.35
    document["monitoring"]["decay"] = {"metrics": ["log_loss"], "least_change": 0.6}
    document["alerts"] = {"to": ["live_hook"]}


def test_a_partition_is_awaited_without_a_worker_slot_and_shifted_traffic_is_told_and_starts_one_deployment(
    line: Line,
) -> None:
    with webhook() as hook:
        line.connect_webhook("live_hook", hook.port)
        _arrival_and_drift(line, hook)


def _arrival_and_drift(line: Line, hook: Hook) -> None:
    line.define("flights_live", "flight_delay", _live_and_told)
    relax_training_suite(line.home / "expectations", "flights_live")
    files, archive = landing(line, "flights_live"), landing(line, "flights")
    line.land_flights()
    days = [date(2013, 6, 1) + timedelta(days=n) for n in range(39)]
    for day in days[:23]:
        shutil.copy(archive / f"{day}.parquet", files)
    line.wait_for_dag("flights_live.retire")
    _arrives_while_a_task_waits(line, archive, files, days[23])
    done = line.command("run", "--model", "flights_live", "--as-of", _midnight(days[24]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert line.summary("flights_live")["monitoring"]["drift"] is False
    assert [body["event"] for body in hook.bodies] == ["promotion"]
    shutil.copy(archive / f"{days[24]}.parquet", files)
    _traffic_as_ever_is_nothing(line, hook, days[24])
    for day in days[25:]:
        _land_shifted(archive / f"{day}.parquet", files / f"{day}.parquet")
    _replay(line, days[25], rows=1200)
    _ingest(line, "shifted", days[25], days[-1])
    started = _monitor_twice(line, _midnight(days[-1] + timedelta(days=1)))
    _is_told(line, hook, started)
    _is_deployed_once(line, started)


def _midnight(day: date) -> str:
    return f"{day}T00:00:00-04:00"


def _ingest(line: Line, run: str, first: date, last: date) -> None:
    line.trigger("flights_live.data", run, {"first": str(first), "last": str(last)})
    assert line.finish("flights_live.data", run) == "success"


def _replay(line: Line, first: date, *, rows: int) -> None:
    """A day's rows as requests to the live server, with their labels, until both tables of the log hold them."""
    wanted = [count + 0.8 * rows for count in _logged(line)]
    inputs = {"first": str(first), "last": str(first + timedelta(days=1)), "rows": rows, "rate": 300}
    line.step("replay", "flights_live", _midnight(first), inputs)
    arrived = lambda: all(now >= count for now, count in zip(_logged(line), wanted, strict=True))  # noqa: E731
    wait(arrived, 60, lambda: f"the log holds {_logged(line)}, not {wanted}")


def _logged(line: Line) -> tuple[int, int]:
    """How many requests, and how many labels, have passed the log's gate."""
    tables = (LakeTable(line.settings, "flights_live", name) for name in ("inference", "feedback"))
    requests, labels = (table.dataset().count_rows() if table.exists() else 0 for table in tables)
    return requests, labels


def _traffic_as_ever_is_nothing(line: Line, hook: Hook, day: date) -> None:
    """A day as the others, in requests and in the data: no verdict is an alarm, nobody is told, nothing is started."""
    _replay(line, day, rows=700)
    _ingest(line, "as-ever", day, day)
    line.trigger("flights_live.monitor", "as-ever", {"as_of": _midnight(day + timedelta(days=1))})
    assert line.finish("flights_live.monitor", "as-ever") == "success"
    verdict = line.api.output("flights_live.monitor", "as-ever", "monitor")
    assert (verdict["verdict"], verdict["retrain"]) == ("no drift", False)
    judged = {one["source"]: (one["verdict"], one["labels"] > 400) for one in verdict["quality"]}
    assert judged["requests"] == ("no decay", True)
    assert [body["event"] for body in hook.bodies] == ["promotion"]
    assert [run for run in line.api.runs("flights_live.train") if run["dag_run_id"].startswith("drift")] == []


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
    """The same flights in a world that is hotter, windier and of older planes, and late by the minute of departure."""
    shifted = (
        "SELECT * REPLACE (temp * 0.3 AS temp, least(wind_speed * 2.5, 45) AS wind_speed, "
        "plane_year - 8 AS plane_year, pressure - 12 AS pressure, "
        "greatest(seats - 60, 2) AS seats, least(humid + 25, 100) AS humid, visib * 0.5 AS visib, 'JFK' AS origin, "
        "distance * 0.5 AS distance, 600 + sched_dep_time % 100 AS sched_dep_time, "
        "arr_delay * 0.5 + CASE WHEN sched_dep_time % 100 >= 15 THEN 30 ELSE -20 END AS arr_delay)"
    )
    duckdb.sql(f"COPY ({shifted} FROM read_parquet('{source}')) TO '{target}' (FORMAT parquet)")


def _monitor_twice(line: Line, as_of: str) -> str:
    """Check twice; the run that this has started."""
    for attempt in ("drift-1", "drift-2"):
        line.trigger("flights_live.monitor", attempt, {"as_of": as_of})
        assert line.finish("flights_live.monitor", attempt) == "success"
    verdict = line.api.output("flights_live.monitor", "drift-1", "monitor")
    assert verdict["drift"] is True
    judged = {one["source"]: (one["verdict"], one["retrain"]) for one in verdict["quality"]}
    assert judged == {"data": ("decay", False), "requests": ("decay", False)}, "drift has started the only retraining"
    [started] = _retrainings(line)
    assert line.finish("flights_live.train", started) in FINISHED
    return started


def _retrainings(line: Line) -> list[str]:
    runs = [run["dag_run_id"] for run in line.api.runs("flights_live.train")]
    return [run for run in runs if run.startswith(("drift", "decay"))]


def _is_told(line: Line, hook: Hook, started: str) -> None:
    """Drift once, with the start, what it does to answers by each source of labels, and that the new version rests on
    other inputs; then the promotion."""
    drift = [body for body in hook.bodies if body["event"] == "drift"]
    assert [body["title"] for body in drift] == ["The newest data of flights_live has drifted; a retraining starts"]
    assert drift[0]["link"] == f"{line.stack.airflow_url}/dags/flights_live.monitor/runs/drift-1"
    decay = [(body["title"], body["details"]["retrain"]) for body in hook.bodies if body["event"] == "decay"]
    assert decay == [("The answers of flights_live have become worse", False)] * 2
    start_id = started.removeprefix("drift__")
    assert drift[0]["details"]["start_id"] == start_id
    query = "SELECT evidence FROM deployment_ledger WHERE model = 'flights_live' AND action = 'retrain'"
    assert [row["evidence"]["start_id"] for row in line.rows(query)] == [start_id]
    wait(
        lambda: hook.bodies[-1]["event"] == "promotion" and len(hook.bodies) > 5,
        240,
        lambda: f"the promotion was not told: {[body['title'] for body in hook.bodies]}",
    )
    assert len(hook.bodies) == len({body["id"] for body in hook.bodies})
    told = Counter(body["event"] for body in hook.bodies)
    assert told == {"promotion": 2, "drift": 1, "decay": 2, "importance_jump": 1}
    ended = [run["state"] for run in line.api.runs("noria_alerts") if run["state"] in FINISHED]
    assert set(ended) == {"success"}, "and the DAG of alerts, which runs all the while, tells nothing twice"


def _is_deployed_once(line: Line, started: str) -> None:
    """The version that the one retraining made answers, after a deployment of its own."""
    assert line.api.output("flights_live.train", started, "decide")["promote"]
    version = line.api.output("flights_live.train", started, "register")["version"]
    deployments = [
        run["dag_run_id"] for run in line.api.runs("flights_live.deploy") if run["conf"]["version"] == version
    ]
    assert len(deployments) == 1
    assert line.finish("flights_live.deploy", deployments[0]) == "success"
    served = lambda: requests.get(f"{line.settings.server_url}/models/flights_live", timeout=5).json()["version"]  # noqa: E731
    wait(lambda: served() == version, 15, "the server does not answer with it")
    assert _retrainings(line) == [started]
