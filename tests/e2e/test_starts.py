"""Every way to start a run, against the running Airflow: form, cron, backfill, arrival of a partition, drift."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

import duckdb
import pytest
import requests

from include.stack.airflow_api import FINISHED, AirflowRefused
from tests.e2e.line import Line, wait
from tests.e2e.models import landing, make_live, relax_training_suite, shorten

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def small(line: Line) -> str:
    """A small model as of the archive's end, in production."""

    def change(document: dict[str, object]) -> None:
        shorten(document)
        document["schedule"] = {"data": "* * * * *"}

    line.define("flights_small", "flight_delay", change)
    relax_training_suite(line.home / "expectations", "flights_small")
    line.wait_for_dag("flights_small.data")
    done = line.command("run", "--model", "flights_small")
    assert done.returncode == 0, done.stdout + done.stderr
    return "flights_small"


def test_the_form_refuses_what_is_no_date(line: Line, small: str) -> None:
    for conf in ({"first": "../../etc"}, {"as_of": "yesterday"}, {"force": "perhaps"}):
        with pytest.raises(AirflowRefused) as refusal:
            line.trigger(f"{small}.data", f"bad-{next(iter(conf))}", conf)
        assert refusal.value.status == 400


def test_cron_starts_the_data_run_and_an_archive_is_not_an_error(line: Line, small: str) -> None:
    def scheduled() -> list[str]:
        runs = line.api.runs(f"{small}.data")
        return [run["state"] for run in runs if run["run_type"] == "scheduled" and run["state"] in FINISHED]

    wait(lambda: bool(scheduled()), 150, "no scheduled run ended")
    line.api.call("PATCH", f"/dags/{small}.data", json={"is_paused": True})
    assert set(scheduled()) == {"success"}


def test_a_backfill_trains_models_as_of_each_date_and_none_replaces_the_newer_champion(line: Line, small: str) -> None:
    champion = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=small)
    line.api.call("PATCH", f"/dags/{small}.data", json={"is_paused": False})
    line.trigger(f"{small}.data", "earlier", {"first": "2013-11-20", "last": "2013-12-15"})
    assert line.finish(f"{small}.data", "earlier") == "success"
    created = line.airflow(
        *("backfill", "create", "--dag-id", f"{small}.train"),
        *("--from-date", "2013-12-11", "--to-date", "2013-12-15"),
    )
    assert created.returncode == 0, created.stdout + created.stderr

    def states() -> list[str]:
        return [run["state"] for run in line.api.runs(f"{small}.train") if run["run_type"] == "backfill"]

    wait(lambda: len(states()) >= 5 and all(state in FINISHED for state in states()), 400, "the backfill did not end")
    assert states() == ["success"] * 5
    versions = line.rows("SELECT version, as_of FROM model_version WHERE model = :m ORDER BY as_of", m=small)
    assert [row["as_of"].date() for row in versions][:5] == [date(2013, 12, 11) + timedelta(days=n) for n in range(5)]
    after = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=small)
    assert after == champion


def test_a_partition_is_awaited_without_a_worker_slot_and_drift_starts_one_training(line: Line, small: str) -> None:
    line.define("flights_live", "flight_delay", make_live)
    relax_training_suite(line.home / "expectations", "flights_live")
    files, archive = landing(line, "flights_live"), landing(line, "flights")
    days = [date(2013, 6, 1) + timedelta(days=n) for n in range(30)]
    for day in days[:23]:
        shutil.copy(archive / f"{day}.parquet", files)
    line.wait_for_dag("flights_live.retire")
    _arrives_while_a_task_waits(line, archive, files, days[23])
    as_of = f"{days[24]}T00:00:00-04:00"
    done = line.command("run", "--model", "flights_live", "--as-of", as_of)
    assert done.returncode == 0, done.stdout + done.stderr
    assert line.summary()["monitoring"]["drift"] is False
    for day in days[24:30]:
        _land_shifted(archive / f"{day}.parquet", files / f"{day}.parquet")
    line.trigger("flights_live.data", "shifted", {"first": str(days[24]), "last": str(days[29])})
    assert line.finish("flights_live.data", "shifted") == "success"
    _monitor_twice(line, f"{days[29] + timedelta(days=1)}T00:00:00-04:00")


def _arrives_while_a_task_waits(line: Line, archive, files, day: date) -> None:
    conf = {"as_of": f"{day + timedelta(days=1)}T00:00:00-04:00", "wait_minutes": 10}
    line.trigger("flights_live.data", "arrival", conf)
    waiting = lambda: line.tasks("flights_live.data", "arrival")["await_partition"].state == "deferred"  # noqa: E731
    wait(waiting, 60, "the sensor never deferred")
    pools = line.api.call("GET", "/pools")["pools"]
    assert sum(pool["running_slots"] for pool in pools) == 0
    shutil.copy(archive / f"{day}.parquet", files)
    assert line.finish("flights_live.data", "arrival") == "success"


def _land_shifted(source, target) -> None:
    """The same flights in a world that is hotter, windier and of older planes."""
    shifted = (
        "SELECT * REPLACE (temp * 0.3 AS temp, least(wind_speed * 2.5, 45) AS wind_speed, "
        "plane_year - 8 AS plane_year, "
        "greatest(seats - 60, 2) AS seats, least(humid + 25, 100) AS humid, visib * 0.5 AS visib, 'JFK' AS origin)"
    )
    duckdb.sql(f"COPY ({shifted} FROM read_parquet('{source}')) TO '{target}' (FORMAT parquet)")


def _monitor_twice(line: Line, as_of: str) -> None:
    for attempt in ("drift-1", "drift-2"):
        line.trigger("flights_live.monitor", attempt, {"as_of": as_of})
        assert line.finish("flights_live.monitor", attempt) == "success"
    verdict = line.api.output("flights_live.monitor", "drift-1", "monitor")
    assert verdict["drift"] is True
    started = [run for run in line.api.runs("flights_live.train") if run["dag_run_id"].startswith("drift")]
    assert len(started) == 1
    assert line.finish("flights_live.train", started[0]["dag_run_id"]) in FINISHED


def test_rollback_and_retirement_by_hand_are_recorded_and_reach_the_server(line: Line, small: str) -> None:
    line.trigger(f"{small}.rollback", "by-hand", {"reason": "wrong answers in the evening", "actor": "ana"})
    assert line.finish(f"{small}.rollback", "by-hand") == "success"
    address = f"{line.settings.server_url}/models/{small}"
    wait(lambda: requests.get(address, timeout=5).status_code in (404, 410), 15, "the server still answers")
    ledger = line.rows("SELECT action, actor, reason FROM deployment_ledger WHERE model = :m ORDER BY id", m=small)
    assert (ledger[-1]["actor"], ledger[-1]["reason"]) == ("ana", "wrong answers in the evening")
