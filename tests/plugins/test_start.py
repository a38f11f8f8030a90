"""Drift starts one training: the ledger says what started it before the run is asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from include.registry import state
from include.settings import Settings
from plugins.operators.start import RETRAIN_VARIABLE, StartTrainingOperator

MODEL = "flight_delay"
DRIFT = {"retrain": True, "reason": "7 of 9 features have drifted", "start_id": "drift-1", "window": {"last": "w"}}
RUN = SimpleNamespace(dag_id=f"{MODEL}.monitor", run_id="manual__1", triggering_user_name=None)


@pytest.fixture
def triggered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Runs that Airflow was asked for."""
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        TriggerDagRunOperator, "execute", lambda self, _: asked.append((self.trigger_run_id, self.conf))
    )
    return asked


def start(verdict: dict[str, Any]) -> None:
    operator = StartTrainingOperator(task_id="start_training", model=MODEL, as_of="t", verdict=verdict)
    operator.execute({"dag_run": RUN, "params": {}})  # type: ignore[arg-type]


@pytest.mark.database
def test_what_started_a_training_is_in_the_ledger_once_and_travels_with_the_run(
    stored_settings: Settings, triggered: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", stored_settings.database_url)
    for _ in range(2):
        start(DRIFT)

    assert triggered == [("drift__drift-1", {"as_of": "t", "started_by": "drift-1"})] * 2
    (entry,) = state.history(stored_settings, MODEL)
    assert (entry.action, entry.actor, entry.reason) == ("retrain", f"airflow:{MODEL}.monitor", DRIFT["reason"])
    assert entry.evidence["started_by_run"] == f"{MODEL}.monitor/manual__1"
    assert entry.evidence["run"] == f"{MODEL}.train/drift__drift-1"


def test_without_a_database_nothing_is_started_and_the_task_is_retried(
    triggered: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", "postgresql+psycopg2://noria@127.0.0.1:9/noria")
    with pytest.raises(AirflowException, match="does not answer") as failure:
        start(DRIFT)
    assert not isinstance(failure.value, AirflowSkipException)
    assert triggered == []


def test_what_is_held_back_or_turned_off_starts_nothing_and_says_why(
    triggered: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AirflowSkipException, match="the cooldown is 3d"):
        start(DRIFT | {"retrain": False, "reason": "the cooldown is 3d"})
    monkeypatch.setenv(f"AIRFLOW_VAR_{RETRAIN_VARIABLE.upper()}", "off")
    with pytest.raises(AirflowSkipException, match="is off"):
        start(DRIFT)
    assert triggered == []
