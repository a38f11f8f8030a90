"""What steps read and write, where no run of a DAG shows it: deployments, scores, drift, and steps that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.lineage.names import DatasetNames
from include.lineage.steps import StepFacts, movement_of
from include.lineage.verdicts import gate_assertions
from include.settings import Settings
from include.steps.catalog import SUMMARIES
from tests.lake.sql_world import sql_definition

MODEL = sql_definition().model


@pytest.fixture
def names(settings: Settings) -> DatasetNames:
    return DatasetNames(settings, sql_definition())


def described(names: DatasetNames, step: str, inputs: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    moved = movement_of(names, StepFacts(step=step, inputs=inputs, output=output))
    inside, outside = (
        {one.name.rpartition("/store/")[2]: one.version for one in side} for side in (moved.inputs, moved.outputs)
    )
    return inside, outside


@pytest.mark.parametrize(
    ("step", "inputs", "output", "read", "written"),
    [
        ("stage", {"version": 3, "stage": "shadow"}, {"version": 3, "role": "shadow"}, "3", "3"),
        ("promote", {"version": 3}, {"version": 3, "replaced": 2}, "3", "3"),
        ("rollback", {"reason": "worse"}, {"version": 2, "rolled_back": 3}, "2", "2"),
        ("retire", {}, {"version": 2, "changed": True}, "2", None),
        ("withdraw", {"version": 3}, {}, "3", None),
    ],
)
def test_a_deployment_names_the_version_that_it_is_of(
    names: DatasetNames, step: str, inputs: dict[str, Any], output: dict[str, Any], read: str, written: str | None
) -> None:
    inside, outside = described(names, step, inputs, output)
    assert inside == {f"models/{MODEL}": read}
    assert outside == {f"deployments/{MODEL}": written}


def test_scores_come_from_a_version_and_rows(names: DatasetNames) -> None:
    output = {"model_version": 3, "version": 7, "rows": 20}
    inside, outside = described(names, "score", {"chosen": {"version": 3}, "path": "landing/new/*.csv"}, output)
    assert inside == {f"models/{MODEL}": "3", "landing/new/*.csv": None}
    assert outside == {f"lake/{MODEL}/scores": "7"}
    assert f"lake/{MODEL}/raw" in described(names, "score", {}, output)[0]


def test_drift_is_an_assertion_about_the_data_and_the_requests(names: DatasetNames) -> None:
    output = {
        "drift": True, "verdict": "drift", "champion_version": 3, "report": f"reports/{MODEL}/drift/x.json",
        "features": [{"name": "price", "drifted": True}, {"name": "express", "drifted": False}],
        "predictions": [{"source": "requests", "verdict": "drift"}],
        "quality": [{"source": "data", "verdict": "no decay"}, {"source": "requests", "verdict": "not enough data"}],
    }  # fmt: skip
    moved = movement_of(names, StepFacts(step="monitor", inputs={}, output=output))
    features, _, requests = moved.inputs
    assert [(one.name, one.column, one.success) for one in features.assertions] == [
        ("no_drift", None, False),
        ("no_drift", "price", False),
        ("no_drift", "express", True),
        ("no_decay", "prediction", True),
    ]
    assert [(one.name, one.success) for one in requests.assertions] == [("no_drift", False), ("no_decay", True)]
    assert requests.name.endswith(f"lake/{MODEL}/inference")


@pytest.mark.parametrize("step", sorted(SUMMARIES))
def test_any_step_that_has_failed_is_told_without_versions_of_what_it_was_to_write(
    names: DatasetNames, step: str
) -> None:
    inputs = {"stage": "raw"} if step == "gate" else {}
    moved = movement_of(names, StepFacts(step=step, inputs=inputs))
    assert all(one.version is None and one.rows is None for one in moved.outputs)


def test_of_a_gates_page_no_value_goes_on(settings: Settings) -> None:
    check = {"column": "price", "kwargs": {"value_set": ["Ana"]}, "observed": "Ana", "samples": [{"shop": "Ana"}]}
    passed = {"type": "in_set", "severity": "critical", "success": True, "unexpected": 0, "judged": 10, **check}
    failed = passed | {"success": False, "unexpected": 2}
    warned = {**passed, "type": "quantiles", "severity": "warning", "unexpected": None, "judged": None}
    results = [
        {"subject": "2013-01-01", "verdict": "passed", "checks": [passed, warned]},
        {"subject": "2013-01-02", "verdict": "refused", "checks": [failed, warned]},
    ]
    page = settings.store / "reports" / MODEL / "gates" / "raw" / "x.html"
    page.parent.mkdir(parents=True)
    page.with_suffix(".json").write_text(json.dumps({"results": results}))
    found = gate_assertions(settings, page.relative_to(settings.store).as_posix())
    assert [(one.name, one.success, one.critical, one.found) for one in found] == [
        ("gate", False, True, "1 of 2 refused"),
        ("in_set", False, True, "2 of 20 rows do not meet it"),
        ("quantiles", True, False, None),
    ]
    assert "Ana" not in repr(found)
    assert gate_assertions(settings, f"reports/{MODEL}/gates/raw/gone.html") == ()
