"""What is personal stands on no page and in no message: one test for each kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from include.features.failures import explain_failure
from include.gates.engine import PERSONAL, Evaluator
from include.gates.suite import load_suite
from include.lake.connections import open_duckdb
from include.reports.gate_page import GatePage, write_gate_page
from include.settings import Settings
from include.spec.check_production import production_findings
from include.spec.definition import Definition
from include.steps.ingest import run as ingest
from include.steps.monitor import shown_feature
from include.steps.protocol import StepCall
from include.training.example_rows import example_rows
from tests.privacy.life import definition_with
from tests.training.lake import with_suites

SECRET = "secret-value"


def personal(*names: str, **changes: Any) -> Definition:
    return definition_with(serving={"personal": list(names)}, **changes)


def test_a_gates_page_and_documents_leave_out_samples_and_values(settings: Settings, tmp_path: Path) -> None:
    settings = with_suites(settings, tmp_path)
    notes = {"severity": "critical", "meta": {"notes": "It matters."}}
    wanted = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "customer", "value_set": ["c1"]}} | notes,
        {"type": "expect_column_distinct_values_to_equal_set", "kwargs": {"column": "customer", "value_set": ["c1"]}}
        | notes,
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "seats", "max_value": 1}} | notes,
    ]
    suite_file = settings.expectations / "late" / "raw.json"
    suite_file.write_text(json.dumps({"name": "late.raw", "expectations": wanted}))
    rows = pd.DataFrame({"customer": [SECRET, "c1"], "seats": [7, 8]})
    evaluator = Evaluator(load_suite(settings, "late", "raw"), personal=["customer"])
    result = evaluator.judge(rows, subject="a day", identify=["customer"])
    page = GatePage(model="late", stage="raw", subject="a day", as_of=datetime(2013, 1, 2, tzinfo=UTC))
    shown = write_gate_page(tmp_path / "page.html", [result], page).read_text(encoding="utf-8")
    told = shown + json.dumps(result.to_document()) + result.reason
    assert SECRET not in told
    assert result.checks[2].samples[0] == {"customer": PERSONAL, "seats": 7}
    open_result = Evaluator(load_suite(settings, "late", "raw")).judge(rows, subject="a day", identify=["customer"])
    assert SECRET in json.dumps(open_result.to_document())  # the test can fail


@pytest.mark.parametrize("is_personal", [True, False])
def test_a_refused_file_says_the_row_and_not_the_value(
    settings: Settings, tmp_path: Path, *, is_personal: bool
) -> None:
    settings = with_suites(settings, tmp_path)
    definition = personal("seats") if is_personal else definition_with()
    path = settings.store / "landing" / "2013-01-01.csv"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"left_at,customer,number,carrier,distance,seats,cargo,delay\n2013-01-01 05:00:00,c1,1,AA,1.5,{SECRET},true,3\n"
    )
    source = definition.source.model_copy(update={"path": "{store}/landing/{partition}.csv", "format": "csv"})
    definition = definition.model_copy(update={"source": source})
    as_of = datetime(2013, 1, 3, tzinfo=UTC)
    found = ingest(
        StepCall(settings=settings, definition=definition, as_of=as_of, attempt="one", inputs={"first": "2013-01-01"})
    )
    manifest = (settings.store / found["manifest"]).read_text(encoding="utf-8")
    assert (SECRET in manifest) is not is_personal
    assert "row 1" in manifest


def test_a_feature_that_fails_on_a_personal_value_does_not_quote_it(settings: Settings) -> None:
    definition = personal("customer", features={"wrong": {"expression": "CAST(customer AS INTEGER)"}})
    with open_duckdb(settings) as connection:
        one = f"SELECT 'p' AS partition, 0 AS _row, '{SECRET}' AS customer, 1 AS delay"
        connection.execute(f"CREATE VIEW raw_rows AS {one}")
        with pytest.raises(duckdb.Error, match=SECRET) as failed:
            connection.execute("SELECT CAST(customer AS INTEGER) FROM raw_rows").fetchall()
        told = str(explain_failure(connection, definition, "raw_rows", failed.value))
    assert SECRET not in told
    assert "row 0" in told


def test_a_drift_page_names_no_category_of_a_personal_feature() -> None:
    feature = {"name": "customer", "type": "category", "bins": [{"name": SECRET, "reference": 1, "current": 2}]}
    assert SECRET not in json.dumps(shown_feature(feature, {"customer"}))
    assert shown_feature(feature, set()) == feature


def test_pages_of_evaluations_and_deployments_have_no_slices_by_a_personal_column() -> None:
    definition = personal("customer")
    sliced = definition.model_copy(
        update={"evaluation": definition.evaluation.model_copy(update={"slices": ["carrier", "customer"]})}
    )
    assert list(production_findings(definition)) == []
    [finding] = production_findings(sliced)
    assert finding.keys == ("evaluation", "slices", 1)


def test_the_example_in_mlflow_is_nobodys_row() -> None:
    definition = personal("customer", features={"a": "distance", "b": {"expression": "customer", "type": "category"}})
    rows = pd.DataFrame({"customer": [SECRET] * 10, "distance": [float(number) for number in range(10)]})
    example = example_rows(definition, rows)
    assert example["customer"].isna().tolist() == [True]
    assert example["distance"].tolist() == [4.5]
    shared = example_rows(definition_with(features=definition.features), rows.assign(customer=["c1"] * 9 + [SECRET]))
    assert shared["customer"].tolist() == ["c1"]
