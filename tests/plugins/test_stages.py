"""Waiting for a stage and for a person: what ends the wait, over a real registry and without Airflow's processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskAwaitingInput, TaskDeferred

from include.errors import TryAgain
from include.registry import stages
from include.settings import Settings
from plugins.operators import approval
from plugins.operators.approval import REJECTION, ApproveChallengerOperator, note_param
from plugins.sensors import stage_triggers
from plugins.sensors import stages as sensors
from plugins.sensors.stage_triggers import ApprovalTrigger, StageTrigger
from plugins.sensors.stages import StageSensor
from tests.plugins.connections import connect_airflow
from tests.steps.deployments import MODEL, DeploymentRun, make_champion, put_version

pytestmark = pytest.mark.database
HARM = "it raised on 40 of 100 rows"


@pytest.fixture
def run(stored_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> DeploymentRun:
    """Version 2 is in canary_10 beside champion 1; Airflow's processes know the database by their connection."""
    connect_airflow(stored_settings, monkeypatch)
    make_champion(stored_settings, 1)
    run = DeploymentRun(stored_settings, put_version(stored_settings, 2))
    run.step("deploy")
    run.step("stage", stage="shadow")
    run.step("stage", stage="canary_10")
    return run


def sensor(run: DeploymentRun, **entered: Any) -> StageSensor:
    document = {"stage": "canary_10", "version": run.version, "deployment": run.name, "until": None, **entered}
    return StageSensor(task_id="await_canary_10", model=MODEL, entered=document)


def withdraw(run: DeploymentRun) -> None:
    stages.withdraw(run.settings, MODEL, run.version, actor="noria server", reason=HARM)


def deferred(sensor: StageSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    return caught.value


def test_the_sensor_ends_at_once_when_there_is_enough_evidence(run: DeploymentRun) -> None:
    run.judge("canary_10", "wait")
    run.judge("canary_10", "advance", "300 rows are enough")
    found = sensor(run).execute({})
    assert (found["stage"], found["verdict"], found["reason"]) == ("canary_10", "advance", "300 rows are enough")
    assert found["evidence"]["checks"][0]["check"] == "errors"


def test_the_sensor_defers_while_the_stage_goes_on_and_decides_when_it_is_resumed(run: DeploymentRun) -> None:
    run.judge("shadow", "advance")
    run.judge("canary_10", "wait")
    waiting = sensor(run)
    signal = deferred(waiting)
    assert isinstance(signal.trigger, StageTrigger)
    assert (signal.method_name, signal.trigger.stage, signal.trigger.version) == ("resume", "canary_10", 2)
    assert datetime.fromisoformat(signal.trigger.until) > datetime.now(UTC)
    run.judge("canary_10", "advance")
    assert waiting.resume({}, {"state": "advance"})["verdict"] == "advance"


def test_a_judgement_of_an_earlier_visit_to_the_stage_does_not_count(run: DeploymentRun) -> None:
    run.judge("canary_10", "advance")
    stages.withdraw(run.settings, MODEL, 2, actor="ana", reason="a pause", bar=False)
    run.step("deploy")
    run.step("stage", stage="canary_10")
    deferred(sensor(run))


def test_the_sensor_fails_at_once_with_the_ledgers_reason_when_the_challenger_is_out(run: DeploymentRun) -> None:
    withdraw(run)
    with pytest.raises(AirflowFailException, match=HARM):
        sensor(run).execute({})


def test_a_rollback_by_a_person_ends_the_wait_with_that_reason(run: DeploymentRun) -> None:
    waiting = sensor(run)
    deferred(waiting)
    run.step("rollback", version=1, bar=False, reason="wrong answers for weekends")
    with pytest.raises(AirflowFailException, match="wrong answers for weekends"):
        waiting.resume({}, {"state": "gone"})


def test_the_sensor_fails_when_the_deadline_has_passed_and_no_server_acts(run: DeploymentRun) -> None:
    run.judge("canary_10", "wait", "12 of 300 rows")
    run.move_deadline(timedelta(days=-2))
    with pytest.raises(AirflowFailException, match=r"12 of 300 rows. Is the inference server running"):
        sensor(run).execute({})


def test_a_stage_that_was_left_out_is_not_waited_for(run: DeploymentRun) -> None:
    left_out = StageSensor(task_id="a", model=MODEL, entered={"stage": "shadow", "skipped": "no champion"})
    assert left_out.execute({}) == {
        "stage": "shadow",
        "verdict": "skipped",
        "reason": "no champion",
        "evidence": {},
    }
    assert run.version == 2


def test_a_version_that_is_champion_meanwhile_has_ended_its_stage_well(run: DeploymentRun) -> None:
    run.step("promote", wait_seconds=0)
    assert sensor(run).execute({})["verdict"] == "advance"


def test_a_database_that_is_away_is_waited_for_and_a_resumed_look_is_retried(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise TryAgain("the database does not answer")

    monkeypatch.setattr(sensors, "look", away)
    waiting = sensor(run, until="2030-01-01T00:00:00+00:00")
    assert deferred(waiting).trigger.until == "2030-01-01T00:00:00+00:00"
    with pytest.raises(AirflowException, match="does not answer") as caught:
        waiting.resume({}, {"state": "unknown"})
    assert not isinstance(caught.value, AirflowFailException)


def trigger(run: DeploymentRun, kind: type[Any] = StageTrigger, until: str = "", **more: Any) -> Any:
    extra = {"stage": "canary_10"} if kind is StageTrigger else {"request_id": "01a20175-e561-76ef-919d-e99ad44a453f"}
    return kind(model=MODEL, version=2, deployment=run.name, until=until, poll_seconds=0.05, **(extra | more))


def event_after(trigger: Any, act: Callable[[], None]) -> Any:
    """What a trigger fires after something was done; it must not fire before."""

    async def first() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    async def scene() -> Any:
        waiting = asyncio.create_task(first())
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.to_thread(act)
        return await asyncio.wait_for(waiting, 20)

    return asyncio.run(scene())


def test_the_trigger_fires_when_the_stage_has_ended(run: DeploymentRun) -> None:
    assert event_after(trigger(run), lambda: run.judge("canary_10", "advance")) == {"state": "advance"}


def test_the_trigger_fires_when_the_challenger_is_out(run: DeploymentRun) -> None:
    assert event_after(trigger(run), lambda: withdraw(run)) == {"state": "gone"}


def test_the_trigger_waits_for_a_database_that_is_away_until_the_deadline(
    run: DeploymentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise TryAgain("the database does not answer")

    monkeypatch.setattr(stage_triggers, "look", away)
    over = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    monkeypatch.setattr(stage_triggers, "GRACE", timedelta(0))
    assert event_after(trigger(run, until=over), lambda: None) == {"state": "unknown"}


def test_the_log_says_now_and_then_what_is_waited_for(run: DeploymentRun, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = trigger(run)
    said: list[str] = []
    monkeypatch.setattr(type(waiting), "log", SimpleNamespace(info=lambda words, *values: said.append(words % values)))
    event_after(waiting, lambda: run.judge("canary_10", "advance"))
    assert said == ["canary_10 goes on: nothing has been judged yet"]


def test_the_triggerer_makes_the_triggers_again_from_what_they_serialize(run: DeploymentRun) -> None:
    for one in (trigger(run, until="2030-01-01T00:00:00+00:00"), trigger(run, ApprovalTrigger)):
        path, arguments = one.serialize()
        json.dumps(arguments)
        assert import_string(path)(**arguments).serialize() == (path, arguments)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The request as Airflow keeps it: not answered yet."""
    detail = SimpleNamespace(
        response_received=False, chosen_options=None, params_input={}, responded_at=None, responded_by_user=None
    )
    monkeypatch.setattr(stage_triggers, "ANSWER_EVERY", 2)
    monkeypatch.setattr(stage_triggers, "get_hitl_detail_content_detail", lambda **_: detail)
    return detail


def test_the_approval_ends_with_a_persons_answer(run: DeploymentRun, answers: SimpleNamespace) -> None:
    def answer() -> None:
        answers.chosen_options, answers.responded_at = ["Approve"], datetime(2026, 1, 1, tzinfo=UTC)
        answers.params_input, answers.responded_by_user = {"note": "fine"}, SimpleNamespace(id="7", name="Bea")
        answers.response_received = True

    event = event_after(trigger(run, ApprovalTrigger), answer)
    assert operator().execute_complete(context(), event) == {
        "approved_by": "Bea",
        "user_id": "7",
        "note": "fine",
        "at": "2026-01-01T00:00:00+00:00",
    }


@pytest.mark.usefixtures("answers")
def test_the_approval_ends_when_the_challenger_is_out(run: DeploymentRun) -> None:
    event = event_after(trigger(run, ApprovalTrigger), lambda: withdraw(run))
    with pytest.raises(AirflowFailException, match=HARM):
        operator().execute_complete(context(), event)


@pytest.mark.usefixtures("answers")
def test_the_approval_ends_when_nobody_decides(run: DeploymentRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_triggers, "GRACE", timedelta(0))
    over = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    event = event_after(trigger(run, ApprovalTrigger, until=over), lambda: None)
    with pytest.raises(AirflowFailException, match="Nobody decided on bike_demand version 2"):
        operator().execute_complete(context(), event)


def operator() -> ApproveChallengerOperator:
    asked = {"version": 2, "deployment": "d", "until": None, "subject": "s", "body": "b"}
    return ApproveChallengerOperator(
        task_id="approve", model=MODEL, asked=asked, subject="s", body="b", params={"note": note_param()}
    )


def context() -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    task = SimpleNamespace(id="01a2", pushed=pushed, xcom_push=lambda key, value: pushed.update({key: value}))
    return {"ti": task, "task_instance": task}


@pytest.mark.parametrize(
    ("note", "words"), [("not now", "Bea rejected bike_demand version 2: not now"), ("", "no note")]
)
def test_a_rejection_fails_for_good_and_is_kept_for_the_ledger(note: str, words: str) -> None:
    event = {
        "chosen_options": ["Reject"],
        "params_input": {"note": note},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": {"id": "7", "name": "Bea"},
    }
    seen = context()
    with pytest.raises(AirflowFailException, match=words):
        operator().execute_complete(seen, event)
    assert words in seen["ti"].pushed[REJECTION]["reason"]
    assert seen["ti"].pushed[REJECTION]["by"] == "Bea"


def test_the_question_is_put_and_the_wait_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def park(self: BaseOperator, context: object) -> None:
        raise TaskAwaitingInput(method_name="execute_complete")

    monkeypatch.setattr(approval.ApprovalOperator, "execute", park)
    with pytest.raises(TaskDeferred) as caught:
        operator().execute(context())
    assert isinstance(caught.value.trigger, ApprovalTrigger)
    assert (caught.value.method_name, caught.value.trigger.request_id) == ("execute_complete", "01a2")
