"""Waiting for a model to fall silent, and the nightly runs of one that is retired: over a real registry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred

from include.registry import retirement, retirement_marks, state
from include.registry.ledger import history
from include.settings import Settings
from plugins.operators.as_of import ResolveAsOfOperator
from plugins.operators.start import StartTrainingOperator
from plugins.sensors.drain import DrainSensor
from plugins.sensors.drain_trigger import DrainTrigger
from tests.plugins.connections import connect_airflow
from tests.steps.deployments import MODEL, DeploymentRun, make_champion

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "replaced by another model"}
BACK = {"actor": "bob", "reason": "needed after all"}


@pytest.fixture
def here(stored_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Version 1 is champion; Airflow's processes know the database by their connection."""
    connect_airflow(stored_settings, monkeypatch)
    make_champion(stored_settings, 1)
    return stored_settings


@pytest.fixture
def run(here: Settings) -> DeploymentRun:
    return DeploymentRun(here, 1)


def drain(run: DeploymentRun, **inputs: Any) -> dict[str, Any]:
    found: dict[str, Any] = run.step("drain", **{"reason": "replaced", **inputs})
    return found


def sensor(drained: dict[str, Any]) -> DrainSensor:
    return DrainSensor(task_id="await_quiet", model=MODEL, drained=drained)


def say_quiet(settings: Settings) -> None:
    now = datetime.now(UTC)
    retirement_marks.report_sighting(settings, MODEL, "server", seen_until=now, last_request_at=None)


def settled(run: DeploymentRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.steps.draining.SETTLING", timedelta(0))
    say_quiet(run.settings)


def test_the_sensor_waits_while_nobody_knows_and_ends_when_it_is_quiet(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = drain(run)
    waiting = sensor(drained)
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute({})
    trigger = caught.value.trigger
    assert isinstance(trigger, DrainTrigger)
    path, arguments = trigger.serialize()
    assert import_string(path)(**arguments).serialize() == (path, arguments)
    settled(run, monkeypatch)
    assert waiting.resume({}, {"state": "quiet"})["ended"] == "quiet"
    gone = run.step("retire", reason="replaced", drained=drained)
    assert (gone["version"], gone["changed"]) == (1, True)
    assert run.step("retire", reason="replaced", drained=drained)["changed"] is False, "a retry is not a second one"


def test_a_drain_of_no_length_is_not_waited_for(run: DeploymentRun) -> None:
    assert sensor(drain(run, drain_minutes=0)).execute({})["ended"] == "over"


def test_an_undone_retirement_ends_the_run_without_a_failure_and_the_model_stays(run: DeploymentRun) -> None:
    drained = drain(run)
    run.step("restore", **BACK)
    with pytest.raises(AirflowSkipException, match=r"needed after all \(bob"):
        sensor(drained).execute({})
    from include.errors import NothingToDo

    with pytest.raises(NothingToDo, match="stays in production"):
        run.step("retire", reason="replaced", drained=drained)
    assert state.champion(run.settings, MODEL) is not None


def test_the_trigger_fires_when_there_is_something_to_decide_and_waits_for_a_lost_database(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = drain(run)
    trigger = DrainTrigger(model=MODEL, began=drained["began_at"], poll_seconds=0.05)

    async def first() -> dict[str, Any]:
        return dict((await anext(trigger.run())).payload)

    async def watched() -> dict[str, Any]:
        watching = asyncio.create_task(first())
        await asyncio.sleep(0.5)
        assert not watching.done()
        await asyncio.to_thread(settled, run, monkeypatch)
        return await asyncio.wait_for(watching, 10)

    assert asyncio.run(watched()) == {"state": "quiet"}
    away = DrainTrigger(model=MODEL, began=drained["began_at"], poll_seconds=0.05)
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_DATABASE", "postgres://nobody@127.0.0.1:9/noria")

    async def still_waiting() -> bool:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(away.run()), 0.5)
        return True

    assert asyncio.run(still_waiting())


def test_a_lost_database_is_waited_for_at_first_and_tried_again_later(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = sensor(drain(run))
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_DATABASE", "postgres://nobody@127.0.0.1:9/noria")
    with pytest.raises(TaskDeferred):
        waiting.execute({})
    with pytest.raises(AirflowException):
        waiting.resume({}, {"state": "quiet"})


def resolve(work: str, kind: str) -> str:
    run = SimpleNamespace(run_type=kind, run_after=datetime.now(UTC), data_interval_end=None, partition_key=None)
    params = {"as_of": "2012-10-02T00:00:00-04:00"}
    context: Any = {"dag_run": run, "params": params}
    return ResolveAsOfOperator(task_id="resolve_as_of", model=MODEL, work=work).execute(context)


@pytest.mark.parametrize("work", ["data", "train", "monitor", "score"])
def test_nightly_runs_of_a_retired_model_are_skipped_and_say_why(here: Settings, work: str) -> None:
    assert resolve(work, "scheduled").startswith("2012-10-02")
    retirement.retire(here, MODEL, **WHO)
    for kind in ("scheduled", "asset_triggered", "operator_triggered"):
        with pytest.raises(AirflowSkipException, match=rf"is retired since .* {MODEL}\.restore"):
            resolve(work, kind)
    for kind in ("manual", "backfill"):
        assert resolve(work, kind).startswith("2012-10-02"), "a person may take the name up again"
    retirement.restore(here, MODEL, **BACK)
    assert resolve(work, "scheduled").startswith("2012-10-02")


def test_while_a_model_drains_nothing_is_trained_and_all_else_goes_on(here: Settings) -> None:
    retirement.begin(here, MODEL, **WHO)
    with pytest.raises(AirflowSkipException, match="being retired"):
        resolve("train", "scheduled")
    for kind in ("manual", "backfill"):
        with pytest.raises(AirflowFailException, match="Nothing is trained now"):
            resolve("train", kind)
    for work in ("data", "monitor", "score"):
        assert resolve(work, "scheduled").startswith("2012-10-02"), "callers still rely on it"


def test_drift_starts_no_training_of_a_model_that_leaves(here: Settings) -> None:
    retirement.begin(here, MODEL, **WHO)
    entries = len(history(here, MODEL))
    verdict = {"retrain": True, "reason": "4 of 9 features drifted", "window": {"last": "2013-10-01"}}
    start = StartTrainingOperator(task_id="start_training", model=MODEL, as_of="2013-10-02T00:00Z", verdict=verdict)
    with pytest.raises(AirflowSkipException, match="nothing is trained"):
        start.execute({})
    assert len(history(here, MODEL)) == entries, "the ledger tells no training that there is not"


def test_a_run_goes_on_when_nobody_can_say_whether_the_model_is_retired(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    retirement.retire(here, MODEL, **WHO)
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_DATABASE", "postgres://nobody@127.0.0.1:9/noria")
    assert resolve("data", "scheduled").startswith("2012-10-02")
