"""What there is to tell: from checks, from the ledger, from deployments that do not go on; the same thing once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.alerts import outbox
from include.alerts.alert import Alert
from include.alerts.news import find_news, is_explained
from include.alerts.runs import failed_task, missed_partition
from include.registry import database, stages, state
from include.registry.results import record_check
from include.settings import Settings
from include.spec.alerts import Alerts
from tests.alerts.conftest import PLACES
from tests.steps.deployments import make_champion, put_version

pytestmark = pytest.mark.database
MODEL = "bike_demand"
AS_OF = datetime(2013, 10, 9, tzinfo=UTC)
NOW = datetime.now(UTC)
RUN = f"{MODEL}.deploy/version_2__manual__1"


def check(settings: Settings, kind: str, verdict: str, subject: str = "2013-10-08", **details: Any) -> None:
    stages_of = {"gate": "raw", "decision": "decide", "partitions": "audit"}
    stage = details.pop("stage", stages_of.get(kind, "monitor"))
    record_check(
        settings, model=MODEL, kind=kind, stage=stage, as_of=AS_OF, subject=subject, verdict=verdict, details=details,
        page="reports/page.html",
    )  # fmt: skip


def news(settings: Settings, run: str | None = None, **rules: Any) -> list[Alert]:
    return find_news(settings, MODEL, Alerts.model_validate(rules), PLACES, run=run)


def new(settings: Settings) -> list[str]:
    """Titles of what was not known yet."""
    return [alert.title for alert in outbox.write(settings, [(alert, []) for alert in news(settings)])]


def drift(settings: Settings, verdict: str = "drift", start: str | None = None, kind: str = "drift") -> None:
    check(settings, kind, verdict, champion_version=1, reason="7 of 9 features", retrain=bool(start), start_id=start)


def test_a_refusal_says_which_gate_what_was_found_and_where_to_look(stored_settings: Settings) -> None:
    failed = [{"severity": "critical", "expected": "distance at least 0", "found": "3 rows below"}]
    check(stored_settings, "gate", "refused", failed=failed, refused=["2013-10-08"], rows=900, attempt="a")
    (alert,) = news(stored_settings, run=f"{MODEL}.data/manual__1")

    assert (alert.event, alert.subject, alert.as_of) == ("gate_refused", "2013-10-08", AS_OF)
    assert alert.title == "The raw gate of bike_demand refused 2013-10-08"
    assert alert.reason == "distance at least 0; found: 3 rows below."
    assert alert.run == f"{MODEL}.data/manual__1"
    assert alert.to_document()["links"] == {
        "run": "https://airflow.example/dags/bike_demand.data/runs/manual__1",
        "page": "/store/reports/page.html",
        "dag": "https://airflow.example/dags/bike_demand.data",
    }


def test_a_run_of_another_family_is_not_taken_for_the_refused_one(stored_settings: Settings) -> None:
    check(stored_settings, "gate", "refused", attempt="a")
    (alert,) = news(stored_settings, run=f"{MODEL}.train/manual__1")

    assert alert.run is None
    assert alert.to_document()["link"] == "/store/reports/page.html"


def test_a_refused_range_is_one_alert_that_names_its_partitions(stored_settings: Settings) -> None:
    days = [f"2013-10-0{day}" for day in range(1, 8)]
    check(stored_settings, "gate", "partly", "2013-10-01 to 2013-10-09", refused=days, attempt="a")
    for day in days:
        check(stored_settings, "gate", "refused", day, refused=[day], attempt="a")

    (alert,) = news(stored_settings)
    assert alert.title.endswith("partly refused 2013-10-01 to 2013-10-09")
    assert "2013-10-05 and 2 more" in alert.reason


def test_a_retried_or_repeated_refusal_is_told_once_and_again_after_it_has_passed(stored_settings: Settings) -> None:
    for attempt in "ab":
        check(stored_settings, "gate", "refused", attempt=attempt)
        assert len(new(stored_settings)) == (attempt == "a")
    check(stored_settings, "gate", "passed", attempt="c")
    check(stored_settings, "gate", "refused", attempt="d")

    assert len(new(stored_settings)) == 1


def test_a_drifting_week_is_told_when_it_starts_a_retraining_and_once_while_it_is_held_back(
    stored_settings: Settings,
) -> None:
    told = []
    for day in range(7):
        drift(stored_settings, start="drift-1" if day == 0 else None)
        told += new(stored_settings)
    assert told == [
        "The newest data of bike_demand has drifted; a retraining starts",
        "The newest data of bike_demand has drifted",
    ]


def test_without_drift_and_without_enough_data_nothing_is_told_and_only_calm_ends_a_drift(
    stored_settings: Settings,
) -> None:
    drift(stored_settings, "no drift")
    drift(stored_settings, "not enough data")
    assert new(stored_settings) == []
    drift(stored_settings)
    assert len(new(stored_settings)) == 1
    drift(stored_settings, "not enough data")
    drift(stored_settings)
    assert new(stored_settings) == []
    drift(stored_settings, "no drift")
    drift(stored_settings)
    assert len(new(stored_settings)) == 1


def test_drifted_predictions_are_told_for_each_table_of_answers_apart(stored_settings: Settings) -> None:
    for source in ("requests", "scores"):
        for _ in range(2):
            check(stored_settings, "prediction drift", "drift", stage=source, champion_version=1, reason="moved")
    check(stored_settings, "prediction drift", "no drift", stage="requests", champion_version=1)
    assert new(stored_settings) == [
        "The predictions of bike_demand have drifted (requests)",
        "The predictions of bike_demand have drifted (scores)",
    ]
    assert {alert.event for alert in news(stored_settings)} == {"drift"}


def test_decay_is_told_as_soon_as_a_check_finds_it(stored_settings: Settings) -> None:
    drift(stored_settings, "decay", kind="decay")
    (alert,) = news(stored_settings)

    assert (alert.event, alert.reason) == ("decay", "7 of 9 features")


def test_a_retraining_that_loses_says_so_with_its_numbers_and_a_training_by_hand_does_not(
    stored_settings: Settings,
) -> None:
    gates = [{"gate": "ROC AUC against champion", "sentence": "ROC AUC against champion: 0.70, 0.02 too little"}]
    lost = {"reason": "1 of 1 gates failed", "champion_version": 3, "gates": gates}
    check(stored_settings, "decision", "keep", "f1", **lost)
    assert news(stored_settings) == []
    check(stored_settings, "decision", "keep", "f2", **lost, started_by="drift-1")
    check(stored_settings, "decision", "promote", "f3", **lost, started_by="drift-2")

    (alert,) = news(stored_settings)
    assert alert.event == "retrain_lost"
    assert "did not beat champion version 3" in alert.title
    assert "0.70, 0.02 too little" in alert.reason


def test_partitions_that_never_arrived_are_named(stored_settings: Settings) -> None:
    check(stored_settings, "partitions", "missing", missing=["2013-10-08"], reason="no file")
    (alert,) = news(stored_settings)

    same = missed_partition(MODEL, PLACES, key="2013-10-08", reason="late", at=NOW, run=f"{MODEL}.data/x")
    assert (alert.event, alert.key) == ("missed_partition", same.key)


def enter(settings: Settings, stage: str, *, until: timedelta = timedelta(hours=1)) -> None:
    stages.enter_stage(
        settings, MODEL, 2, role="shadow", share=0.0, plan={"stage": stage}, until=datetime.now(UTC) + until,
        deployment=RUN, actor="ana", reason="next",
    )  # fmt: skip


def test_promotion_and_rollback_are_told_with_version_reason_and_links(stored_settings: Settings) -> None:
    make_champion(stored_settings, 1)
    put_version(stored_settings, 2)
    state.switch_champion(stored_settings, MODEL, 2, actor="ana", reason="better")
    state.roll_back(stored_settings, MODEL, actor="bea", reason="wrong answers")

    first, second, back = news(stored_settings)
    assert first.title == "Version 1 of bike_demand is the champion now, its first champion"
    assert second.title == "Version 2 of bike_demand is the champion now, in place of version 1"
    assert (back.event, back.title) == ("rollback", "bike_demand is rolled back from version 2 to version 1")
    assert (back.reason, back.details["actor"]) == ("wrong answers", "bea")
    assert back.to_document()["link"] == "https://mlflow.example/#/models/bike_demand/versions/2"


def test_a_withdrawn_challenger_is_told_with_its_stage_and_explains_its_failed_run(stored_settings: Settings) -> None:
    make_champion(stored_settings, 1)
    put_version(stored_settings, 2)
    enter(stored_settings, "canary_10")
    stages.withdraw(stored_settings, MODEL, 2, actor="noria server", reason="it raised on 40 of 100 rows")
    new(stored_settings)

    alert = news(stored_settings)[-1]
    assert alert.title == "Version 2 of bike_demand is withdrawn from the stage canary_10"
    assert alert.links["run"] == "https://airflow.example/dags/bike_demand.deploy/runs/version_2__manual__1"
    assert is_explained(stored_settings, MODEL, family="deploy", run=RUN, since=NOW)
    assert not is_explained(stored_settings, MODEL, family="deploy", run=f"{MODEL}.deploy/other", since=NOW)


def test_a_stage_that_timed_out_is_a_stuck_deployment(stored_settings: Settings) -> None:
    make_champion(stored_settings, 1)
    put_version(stored_settings, 2)
    enter(stored_settings, "shadow", until=timedelta(minutes=-3))
    assert [alert.event for alert in news(stored_settings)][1:] == ["stuck_deployment"]
    evidence = {"timed_out": True}
    stages.withdraw(stored_settings, MODEL, 2, actor="noria server", reason="timed out", evidence=evidence, bar=False)

    alert = news(stored_settings)[-1]
    assert (alert.event, alert.title) == (
        "stuck_deployment",
        "The deployment of bike_demand version 2 was stuck in shadow, and is withdrawn",
    )


def test_a_question_that_nobody_answers_is_told_after_the_time_that_the_definition_gives(
    stored_settings: Settings,
) -> None:
    make_champion(stored_settings, 1)
    put_version(stored_settings, 2)
    enter(stored_settings, "approval", until=timedelta(days=3))
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("UPDATE deployment_state SET since = since - interval '5 hours' WHERE version = 2"))

    assert len(news(stored_settings)) == 1
    alert = news(stored_settings, approval_after="4h")[-1]
    assert alert.event == "stuck_deployment"
    assert "waits for approval for 4h already" in alert.title


def test_news_of_last_week_is_not_told(stored_settings: Settings) -> None:
    check(stored_settings, "gate", "refused", attempt="a")
    make_champion(stored_settings, 1)
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("UPDATE check_result SET at = at - interval '7 days'"))
    assert [alert.event for alert in news(stored_settings)] == ["promotion"]


def test_a_gates_refusal_explains_the_failure_of_its_own_familys_runs_only(stored_settings: Settings) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    check(stored_settings, "gate", "refused", attempt="a")

    def explained(family: str, since: datetime) -> bool:
        return is_explained(stored_settings, MODEL, family=family, run=f"{MODEL}.{family}/x", since=since)

    assert explained("data", before)
    assert not explained("train", before)
    assert not explained("data", datetime.now(UTC) + timedelta(seconds=5))


def test_the_first_task_that_fails_in_a_run_speaks_for_the_run(stored_settings: Settings) -> None:
    failures = [
        failed_task(MODEL, PLACES, run=f"{MODEL}.train/{run}", task=task, reason="", at=NOW)
        for run, task in (("one", "train"), ("one", "evaluate"), ("two", "train"))
    ]
    written = [outbox.write(stored_settings, [(alert, [])]) for alert in failures]

    assert [len(alerts) for alerts in written] == [1, 0, 1]
    assert failures[0].title == "bike_demand.train failed in the task train"
    assert "killed" in failures[0].reason
