"""A year of daily checks of a hundred models' answers is one query, with truth and estimate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.registry import database
from include.registry.quality_history import quality_history
from include.registry.results import record_check
from include.settings import Settings

pytestmark = pytest.mark.database

START = datetime(2013, 1, 1, tzinfo=UTC)


def details(value: float, *, estimated: bool = True) -> dict[str, Any]:
    side = {"value": value, "low": value - 0.01, "high": value + 0.01}
    change = {"name": "roc_auc", "before": {**side, "value": 0.7}, "now": side, "decayed": False}
    estimates = [{"name": "roc_auc", "value": 0.69, "low": 0.66, "high": 0.72, "made": None}]
    found = {"champion_version": 3, "labels": 6400, "answered": 7000, "changes": [change], "slices": []}
    return found | ({"estimates": estimates} if estimated else {})


def test_a_year_of_daily_checks_for_a_hundred_models_is_one_query(stored_settings: Settings) -> None:
    query = text(
        "INSERT INTO check_result (model, kind, stage, as_of, subject, verdict, details) "
        "SELECT 'model_' || m, 'decay', 'data', CAST(:start AS timestamptz) + d * INTERVAL '1 day', 'window', "
        "'no decay', CAST(:details AS jsonb) FROM generate_series(1, 100) m, generate_series(0, 364) d"
    )
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(query, {"start": START, "details": json.dumps(details(0.68))})
    found = quality_history(stored_settings, since=START, until=START + timedelta(days=365))

    assert len(found) == 36_500
    first = found[0]
    assert (first.model, first.as_of, first.source, first.name) == ("model_1", START, "data", "roc_auc")
    assert (first.before, first.truth, first.truth_low) == (0.7, 0.68, pytest.approx(0.67))
    assert (first.estimate, first.estimate_low, first.estimate_high) == (0.69, 0.66, 0.72)
    assert (first.labels, first.answered, first.decayed) == (6400, 7000, False)


def test_of_a_check_made_again_the_last_counts_and_sources_and_older_rows_stand_beside_it(
    stored_settings: Settings,
) -> None:
    def record(stage: str, found: dict[str, Any], model: str = "late") -> None:
        values = {"subject": "window", "verdict": "no decay", "details": found}
        record_check(stored_settings, model=model, kind="decay", stage=stage, as_of=START, **values)  # type: ignore[arg-type]

    record("data", details(0.5))
    record("data", details(0.6))
    record("requests", details(0.7, estimated=False))
    record("data", details(0.1), model="other")
    record("requests", details(0.1) | {"changes": []}, model="unlabelled")
    found = quality_history(stored_settings, since=START, until=START + timedelta(days=1), models=["late"])

    assert [(one.source, one.truth, one.estimate) for one in found] == [("data", 0.6, 0.69), ("requests", 0.7, None)]
    assert not quality_history(stored_settings, since=START, until=START + timedelta(days=1), models=["unlabelled"])
