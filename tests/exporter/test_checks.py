"""The newest verdict of each check, how often a gate has refused, and what is known of quality."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import text

from include.exporter.checks import _NEWEST, read_checks
from include.exporter.sources import Source
from include.registry import database
from include.settings import Settings
from tests.exporter.conftest import Samples, samples

pytestmark = pytest.mark.database
Check = Callable[..., None]


def scrape(settings: Settings) -> Samples:
    database.ensure_schema(settings.database_url)
    found = samples(Source("checks", partial(read_checks, settings.database_url)))
    assert found["noria_source_up", "checks"] == 1
    return found


def test_without_a_check_there_are_no_figures_of_one(stored_settings: Settings) -> None:
    assert {name for name, *_ in scrape(stored_settings)} == {"noria_source_up", "noria_source_seconds"}


def test_of_each_check_of_each_model_the_newest_verdict_counts(stored_settings: Settings, checked: Check) -> None:
    checked("drift", kind="drift", stage="monitor", share=0.5)
    checked("no drift", kind="drift", stage="monitor", share=0.125, day=2)
    checked("drift", kind="drift", stage="monitor", share=1.0, model="other")
    checked("no decay", kind="decay", stage="data")
    checked("not enough data", kind="decay", stage="requests")
    found = scrape(stored_settings)
    verdicts = {name[1:] for name in found if name[0] == "noria_check_verdict"}
    assert verdicts == {
        ("drift", "m", "monitor", "no drift"),
        ("drift", "other", "monitor", "drift"),
        ("decay", "m", "data", "no decay"),
        ("decay", "m", "requests", "not enough data"),
    }
    assert found["noria_drift_features_ratio", "m"] == 0.125
    assert found["noria_check_as_of_timestamp_seconds", "drift", "m", "monitor"] == _day(2)
    age = datetime.now(UTC).timestamp() - found["noria_check_timestamp_seconds", "drift", "m", "monitor"]
    assert -1 < age < 60


def test_a_share_that_is_not_known_is_no_sample_rather_than_zero(stored_settings: Settings, checked: Check) -> None:
    checked("not enough data", kind="drift", stage="monitor", share=None)
    assert ("noria_drift_features_ratio", "m") not in scrape(stored_settings)


def test_refusals_in_a_row_are_attempts_since_the_gate_last_passed_something(
    stored_settings: Settings, checked: Check
) -> None:
    checked("refused", attempt="1")
    checked("passed", attempt="2", day=2)
    checked("refused", attempt="3", day=3)
    assert scrape(stored_settings)["noria_gate_refusals_in_a_row", "m", "features"] == 1
    checked("refused", attempt="4", day=4)
    checked("refused", attempt="4", day=5)  # the same attempt's second partition
    checked("refused", stage="raw", attempt="5", day=9)
    found = scrape(stored_settings)
    assert found["noria_gate_refusals_in_a_row", "m", "features"] == 2
    assert found["noria_gate_refusals_in_a_row", "m", "raw"] == 1
    assert found["noria_data_as_of_timestamp_seconds", "m"] == _day(2), "what was refused is no data"
    checked("partly", attempt="6", day=6)
    found = scrape(stored_settings)
    assert found["noria_gate_refusals_in_a_row", "m", "features"] == 0
    assert found["noria_data_as_of_timestamp_seconds", "m"] == _day(6)


def test_quality_is_told_with_its_interval_on_both_sides(stored_settings: Settings, checked: Check) -> None:
    before, now = {"value": 0.7, "low": 0.68, "high": 0.72}, {"value": 0.6, "low": None, "high": None}
    change = {"name": "roc_auc", "before": before, "now": now}
    checked("decay", kind="decay", stage="data", labels=900, answered=1000, changes=[change])
    found = scrape(stored_settings)
    of = {name[1:]: value for name, value in found.items() if name[0] == "noria_quality"}
    assert of == {
        ("low", "roc_auc", "m", "holdout", "data"): 0.68,
        ("value", "roc_auc", "m", "holdout", "data"): 0.7,
        ("high", "roc_auc", "m", "holdout", "data"): 0.72,
        ("value", "roc_auc", "m", "production", "data"): 0.6,
    }
    assert found["noria_quality_labels", "m", "data"] == 900
    assert found["noria_quality_answers", "m", "data"] == 1000


def test_years_of_checks_are_not_read_through(stored_settings: Settings) -> None:
    database.ensure_schema(stored_settings.database_url)
    fill = """
        INSERT INTO check_result (model, kind, stage, as_of, subject, verdict, details, at)
        SELECT 'm' || mod(n, 20), 'drift', 'monitor', now(), n::text, 'no drift', '{"share": 0}',
               now() - n * interval '1h'
        FROM generate_series(1, 60000) AS n
    """
    with database.transaction(stored_settings.database_url) as connection:
        connection.exec_driver_sql(fill)
        connection.exec_driver_sql("ANALYZE check_result")
    found = scrape(stored_settings)
    assert len([name for name in found if name[0] == "noria_check_verdict"]) == 20
    with database.transaction(stored_settings.database_url) as connection:
        plan = connection.execute(text("EXPLAIN (ANALYZE, FORMAT TEXT) " + _NEWEST), {"most": 100}).scalars().all()
    assert not any("Seq Scan on check_result" in line for line in plan), "\n".join(plan)


def _day(number: int) -> float:
    return datetime(2013, 5, number, tzinfo=UTC).timestamp()
