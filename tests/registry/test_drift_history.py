"""The drift checks of many models over a year are one query."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.registry import database
from include.registry.drift_history import drift_history
from include.registry.results import record_check
from include.settings import Settings

pytestmark = pytest.mark.database

FEATURES = 3
START = datetime(2013, 1, 1, tzinfo=UTC)


def details(size: float) -> dict[str, Any]:
    measured = {"what": "values", "limit": 0.05, "p": 0.5, "psi": 0.01, "missing": 0.0, "unseen": None}
    features = [{"name": f"f{place:02}", "drifted": False, "size": size, **measured} for place in range(FEATURES)]
    return {"champion_version": 3, "window": {"rows": 7000}, "features": features}


def test_a_year_of_daily_checks_for_a_hundred_models_is_one_query(stored_settings: Settings) -> None:
    query = text(
        "INSERT INTO check_result (model, kind, stage, as_of, subject, verdict, details) "
        "SELECT 'model_' || m, 'drift', 'monitor', CAST(:start AS timestamptz) + d * INTERVAL '1 day', 'window', "
        "'no drift', CAST(:details AS jsonb) FROM generate_series(1, 100) m, generate_series(0, 364) d"
    )
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(query, {"start": START, "details": json.dumps(details(0.02))})
    begin = time.monotonic()
    found = drift_history(stored_settings, since=START, until=START + timedelta(days=365))

    assert len(found) == 100 * 365 * FEATURES
    assert (found[0].model, found[0].as_of, found[0].name, found[0].size) == ("model_1", START, "f00", 0.02)
    assert time.monotonic() - begin < 60


def test_of_a_check_that_was_made_again_the_last_counts_and_empty_windows_have_no_features(
    stored_settings: Settings,
) -> None:
    def record(model: str, day: int, found: dict[str, Any], kind: str = "drift") -> None:
        as_of = START + timedelta(days=day)
        values = {"stage": "monitor", "subject": "window", "verdict": "no drift", "details": found}
        record_check(stored_settings, model=model, kind=kind, as_of=as_of, **values)  # type: ignore[arg-type]

    record("late", 0, details(0.1))
    record("late", 0, details(0.2))
    record("late", 1, {"champion_version": 3, "window": {"rows": 0}, "features": []})
    record("late", 2, details(0.3))
    record("late", 0, details(0.4), kind="gate")
    record("other", 0, details(0.5))
    found = drift_history(stored_settings, since=START, until=START + timedelta(days=2), models=["late"])

    assert {one.size for one in found} == {0.2}
    assert len(found) == FEATURES
