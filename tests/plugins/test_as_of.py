"""The first task of a run: which instant it settles on."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from plugins.operators.as_of import ResolveAsOfOperator

ASKED = datetime(2026, 3, 1, 10, 30, 5, 123, tzinfo=UTC)


def settled(model: str, *, end: datetime | None = None, **params: Any) -> str:
    """What a run that was asked for at :data:`ASKED` settles on."""
    run = SimpleNamespace(data_interval_end=end, run_after=ASKED, partition_key=None)
    context: Any = {"dag_run": run, "params": {"as_of": None, **params}}
    return ResolveAsOfOperator(task_id="resolve_as_of", model=model).execute(context)


def test_a_run_by_hand_on_data_without_time_is_as_of_when_it_was_asked_for() -> None:
    assert settled("tumor_malignant") == "2026-03-01T10:30:05+00:00"


def test_the_form_and_the_data_interval_come_first() -> None:
    assert settled("tumor_malignant", as_of="2026-02-01T00:00:00Z") == "2026-02-01T00:00:00+00:00"
    assert settled("tumor_malignant", end=datetime(2026, 2, 2, tzinfo=UTC)) == "2026-02-02T00:00:00+00:00"


def test_on_data_with_time_the_moment_says_nothing() -> None:
    assert settled("bike_demand") == "2013-01-01T00:00:00-05:00"
    with pytest.raises(AirflowFailException, match="is no partition"):
        settled("bike_demand", last="all")
