"""Notifiers: what becomes of Airflow's connections, of a failed task, of a missed deadline; none fails a task."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.callback import CallbackTrigger

from include.alerts.sending import SendFailed
from include.registry.results import record_check
from include.settings import Settings
from include.spec.alerts import Alerts
from plugins.notifiers.channels import CHANNELS_VARIABLE, channel_of, channels_for
from plugins.notifiers.deadline import MissedPartitionNotifier
from plugins.notifiers.runs import FailureNotifier, NewsNotifier
from plugins.operators.alerts import DeliverAlertsOperator
from plugins.sensors.missing import PartitionMissing
from tests.alerts.receivers import Hook, webhook

MODEL = "flight_delay"
STARTED = datetime.now(UTC) - timedelta(minutes=5)
Connect = Callable[..., None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make an Airflow connection."""

    def make(name: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return make


@pytest.fixture
def hook(stored_settings: Settings, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A webhook that the platform names for all models, beside a database."""
    monkeypatch.setenv("NORIA_DATABASE_URL", stored_settings.database_url)
    monkeypatch.setenv("NORIA_HOME", str(stored_settings.home))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/")
    monkeypatch.setenv(f"AIRFLOW_VAR_{CHANNELS_VARIABLE.upper()}", "ops_webhook")
    with webhook() as running:
        connect("ops_webhook", conn_type="http", host="127.0.0.1", port=running.port, extra={"path": "hook"})
        yield running


def context(family: str = "train", problem: object = None, task: str = "train") -> Any:
    run = SimpleNamespace(
        dag_id=f"{MODEL}.{family}", run_id="manual__1", start_date=STARTED, conf={}, triggering_user_name=None
    )
    return {"dag_run": run, "params": {}, "ti": SimpleNamespace(task_id=task), "exception": problem}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"conn_type": "http", "host": "hooks.example", "schema": "https"}, {"url": "https://hooks.example"}),
        (
            {
                "conn_type": "http", "host": "https://hooks.example/a", "password": "SECRET",
                "extra": {"style": "slack", "path": "/b", "headers": {"X-A": "1"}},
            },
            {
                "url": "https://hooks.example/a/b",
                "style": "slack",
                "headers": {"X-A": "1", "Authorization": "Bearer SECRET"},
            },
        ),
        (
            {"conn_type": "http", "host": "h", "login": "u", "password": "SECRET"},
            {"login": ("u", "SECRET"), "headers": {}},
        ),
        (
            {"conn_type": "slackwebhook", "password": "T0/B0/SECRET"},
            {"url": "https://hooks.slack.com/services/T0/B0/SECRET", "style": "slack"},
        ),
        (
            {"conn_type": "smtp", "host": "mail", "login": "n@x", "password": "SECRET", "extra": {"to": "a@x"}},
            {"port": 465, "security": "ssl", "sender": "n@x", "recipients": ("a@x",), "login": ("n@x", "SECRET")},
        ),
        (
            {
                "conn_type": "smtp", "host": "mail", "port": 25,
                "extra": {"to": ["a@x", "b@x"], "from_email": "n@x", "disable_ssl": True, "disable_tls": True},
            },
            {"port": 25, "security": "none", "recipients": ("a@x", "b@x"), "login": None},
        ),
        ({"conn_type": "fs", "extra": {"path": "/var/log/alerts"}}, {"path": Path("/var/log/alerts")}),
    ],
)  # fmt: skip
def test_a_connection_is_a_channel(connect: Connect, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    connect("channel", **fields)
    channel = channel_of("channel")

    assert {name: getattr(channel, name) for name in expected} == expected
    assert "SECRET" not in repr(channel)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"conn_type": "postgres", "host": "h"}, "type postgres; alerts need one of: http, slackwebhook, smtp, fs"),
        ({"conn_type": "http"}, "host"),
        ({"conn_type": "http", "host": "h", "extra": {"style": "teams"}}, "json or slack"),
        ({"conn_type": "slackwebhook"}, "token"),
        ({"conn_type": "smtp", "host": "mail", "login": "n@x"}, "wrong value: to"),
        ({"conn_type": "smtp", "host": "mail", "extra": {"to": "a@x"}}, "from_email"),
        ({"conn_type": "fs", "extra": {"path": "alerts.jsonl"}}, "absolute"),
    ],
)
def test_a_connection_that_is_no_channel_says_what_to_change(
    connect: Connect, fields: dict[str, Any], words: str
) -> None:
    connect("channel", **fields)
    with pytest.raises(SendFailed, match=words):
        channel_of("channel")


def test_a_connection_that_is_not_there_is_named() -> None:
    with pytest.raises(SendFailed, match="no connection with the id nobody_made_this"):
        channel_of("nobody_made_this")


def test_a_definitions_channels_go_before_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channels_for(Alerts()) == []
    monkeypatch.setenv(f"AIRFLOW_VAR_{CHANNELS_VARIABLE.upper()}", "a, b,")
    assert channels_for(Alerts()) == ["a", "b"]
    assert channels_for(Alerts(to=["c"])) == ["c"]
    assert channels_for(Alerts(to=[])) == []


@pytest.mark.database
def test_a_task_that_failed_for_good_is_told_once_for_its_run(hook: Hook) -> None:
    for task in ("train", "evaluate"):
        FailureNotifier(MODEL)(context(problem=RuntimeError("out of memory"), task=task))

    (body,) = hook.bodies
    assert (body["event"], body["title"]) == ("task_failed", "flight_delay.train failed in the task train")
    assert body["reason"] == "out of memory"
    assert body["link"] == "https://airflow.example/dags/flight_delay.train/runs/manual__1"


@pytest.mark.database
def test_a_refusal_is_told_as_such_and_not_as_a_failed_task(hook: Hook, stored_settings: Settings) -> None:
    record_check(
        stored_settings, model=MODEL, kind="gate", stage="training", as_of=STARTED, subject="training set",
        verdict="refused", details={"attempt": "a", "problem": "3 rows only"}, page="reports/gate.html",
    )  # fmt: skip
    FailureNotifier(MODEL)(context(problem=AirflowFailException("refused"), task="gate_training"))

    (body,) = hook.bodies
    assert (body["event"], body["reason"]) == ("gate_refused", "3 rows only.")
    assert body["links"]["run"] == "https://airflow.example/dags/flight_delay.train/runs/manual__1"


@pytest.mark.database
def test_a_partition_that_has_not_come_is_told_once_by_sensor_and_deadline(hook: Hook) -> None:
    run = {
        "dag_id": f"{MODEL}.data", "dag_run_id": "scheduled__1", "state": "running", "run_type": "scheduled",
        "conf": {}, "data_interval_end": "2013-10-08T05:00:00Z", "partition_key": None,
    }  # fmt: skip
    assert asyncio.run(_as_the_triggerer_does({"dag_run": run, "deadline": {"id": "1"}})) == ["running", "success"]
    problem = PartitionMissing("Partition 2013-10-07 of flight_delay is not there", "2013-10-07")
    FailureNotifier(MODEL)(context("data", problem, "await_partition"))

    (body,) = hook.bodies
    assert (body["event"], body["subject"]) == ("missed_partition", "2013-10-07")
    assert "has not ended 1h after its start" in body["reason"]
    assert body["link"] == "https://airflow.example/dags/flight_delay.data/runs/scheduled__1"


@pytest.mark.database
@pytest.mark.parametrize(
    ("state", "run_type"), [("failed", "scheduled"), ("success", "scheduled"), ("queued", "backfill")]
)
def test_a_late_run_that_has_ended_meanwhile_or_that_a_backfill_made_is_not_told(
    hook: Hook, state: str, run_type: str
) -> None:
    run = {"dag_id": f"{MODEL}.data", "dag_run_id": "r", "state": state, "run_type": run_type, "conf": {}}
    run["data_interval_end"] = "2013-10-08T05:00:00Z"
    MissedPartitionNotifier(model=MODEL)({"dag_run": run})
    assert hook.bodies == []


@pytest.mark.database
def test_a_dead_webhook_costs_a_task_some_seconds_once_and_is_tried_again_by_the_dag_of_alerts(
    hook: Hook, stored_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.mood = "hang"
    seconds = []
    for number in range(3):
        began = time.monotonic()
        FailureNotifier(MODEL)(context(problem=RuntimeError("broken"), task=f"task_{number}"))
        seconds.append(time.monotonic() - began)
    assert seconds[0] < 8
    assert max(seconds[1:]) < 2, "the channel rests"

    hook.mood = 200
    monkeypatch.setattr("include.alerts.outbox.REST", timedelta(0))
    monkeypatch.setattr("include.alerts.outbox.PAUSES", (timedelta(0),))
    _forget_pause(stored_settings)
    done = DeliverAlertsOperator(task_id="deliver").execute({})  # type: ignore[arg-type]
    assert done == {"sent": 1, "failed": 0, "expired": 0}
    assert len(hook.bodies) == 1


@pytest.mark.database
def test_news_that_no_task_could_tell_is_told_by_the_dag_of_alerts(hook: Hook, stored_settings: Settings) -> None:
    record_check(
        stored_settings, model=MODEL, kind="drift", stage="monitor", as_of=STARTED, subject="w", verdict="drift",
        details={"champion_version": 1, "reason": "7 of 9 features", "retrain": True, "start_id": "drift-1"},
    )  # fmt: skip
    operator = DeliverAlertsOperator(task_id="deliver")
    assert operator.execute({})["sent"] == 1  # type: ignore[arg-type]
    assert operator.execute({})["sent"] == 0  # type: ignore[arg-type]
    assert hook.bodies[0]["title"] == "The newest data of flight_delay has drifted; a retraining starts"


@pytest.mark.database
def test_while_the_database_is_away_a_failed_task_is_told_all_the_same(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", "postgresql+psycopg2://noria@127.0.0.1:9/noria")
    FailureNotifier(MODEL)(context(problem=RuntimeError("the database does not answer")))
    NewsNotifier(MODEL)(context())

    assert [body["reason"] for body in hook.bodies] == ["the database does not answer"]


def test_without_a_database_a_notifier_says_so_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", "postgresql+psycopg2://noria:SECRET@127.0.0.1:9/noria")
    with caplog.at_level(logging.WARNING):
        NewsNotifier(MODEL)(context())
        FailureNotifier(MODEL)(context(problem=RuntimeError("broken")))
        MissedPartitionNotifier(model=MODEL)({"dag_run": {"state": "running"}})
    assert "SECRET" not in caplog.text


def test_a_word_that_airflow_masks_is_masked_in_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.log import mask_secret, redact  # type: ignore[attr-defined]

    from plugins.notifiers import runs

    mask_secret("hunter2-of-the-warehouse")
    assert runs.redact is redact
    assert "hunter2" not in runs._words(RuntimeError("login with hunter2-of-the-warehouse failed"))


async def _as_the_triggerer_does(context: Any) -> list[str]:
    """Run the callback by the path that the DAG's deadline names; the states that Airflow is told."""
    path = f"{MissedPartitionNotifier.__module__}.{MissedPartitionNotifier.__qualname__}"
    trigger = CallbackTrigger(path, {"model": MODEL, "context": context})
    return [str(event.payload["state"]) async for event in trigger.run()]


def _forget_pause(settings: Settings) -> None:
    from sqlalchemy import text

    from include.registry import database

    with database.transaction(settings.database_url) as connection:
        connection.execute(text("UPDATE alert_delivery SET next_at = clock_timestamp()"))
