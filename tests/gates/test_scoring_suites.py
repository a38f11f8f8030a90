"""The suites of batch scoring: a model's own, or what applies of a borrowed one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.gates import SuiteError
from include.gates.scoring import applied, scoring_suite
from include.gates.suite import Suite
from include.settings import Settings

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
MEAN = "expect_column_mean_to_be_between"


def expectation(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"notes": "It matters."}}


@pytest.fixture
def suites(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, expectations=tmp_path / "expectations")


def write(settings: Settings, stage: str, *expectations: dict[str, Any]) -> None:
    path = settings.expectations / "tiny" / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": f"tiny.{stage}", "expectations": expectations}))


def entry(settings: Settings, *columns: str) -> Suite:
    return applied(scoring_suite(settings, "tiny", "scoring"), "scoring", columns, "at")


def said(suite: Suite) -> list[tuple[str, str, str]]:
    return [(item.type, ",".join(item.columns), item.severity) for item in suite.expectations]


def test_a_borrowed_suite_keeps_what_its_columns_allow_and_lowers_aggregates_to_warnings(suites: Settings) -> None:
    write(
        suites,
        "raw",
        expectation("expect_table_row_count_to_be_between", min_value=300),
        expectation(BETWEEN, column="x", min_value=0),
        expectation(MEAN, column="x", min_value=1),
        expectation("expect_compound_columns_to_be_unique", column_list=["x", "label"]),
        expectation(NOT_NULL, column="label"),
    )
    suite = entry(suites, "x", "at")
    assert said(suite) == [(BETWEEN, "x", "critical"), (MEAN, "x", "warning"), (NOT_NULL, "at", "critical")]
    assert suite.stage == "scoring"


def test_a_critical_and_a_warning_that_become_the_same_are_said_once(suites: Settings) -> None:
    write(
        suites,
        "raw",
        expectation(MEAN, column="x", min_value=1),
        expectation(MEAN, "warning", column="x", min_value=1),
        expectation(NOT_NULL, column="at"),
    )
    assert said(entry(suites, "x", "at")) == [(MEAN, "x", "warning"), (NOT_NULL, "at", "critical")]


def test_a_null_that_is_tolerated_now_and_then_does_not_count_as_never_null(suites: Settings) -> None:
    write(suites, "raw", expectation(NOT_NULL, column="at", mostly=0.5))
    assert len(entry(suites, "x", "at").expectations) == 2


def test_the_models_own_suite_judges_as_it_is_written(suites: Settings) -> None:
    write(suites, "raw", expectation(NOT_NULL, column="x"))
    write(suites, "scoring", expectation(MEAN, column="x", min_value=1))
    assert said(entry(suites, "x", "at")) == [(MEAN, "x", "critical")]


def test_the_models_own_suite_may_name_only_columns_that_are_scored(suites: Settings) -> None:
    write(suites, "scoring", expectation(NOT_NULL, column="label"))
    with pytest.raises(SuiteError, match="has no column 'label'"):
        entry(suites, "x", "at")


def test_without_any_suite_nothing_is_scored(suites: Settings) -> None:
    with pytest.raises(SuiteError, match=r"raw\.json: the file does not exist"):
        scoring_suite(suites, "tiny", "scoring")
    with pytest.raises(SuiteError, match=r"predictions\.json: the file does not exist"):
        scoring_suite(suites, "tiny", "scores")
