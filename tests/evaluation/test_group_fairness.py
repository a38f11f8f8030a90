"""Fairness between groups: fairlearn's numbers, judged with limits, silent about groups that are too small."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from sklearn.metrics import accuracy_score, mean_absolute_error

from include.evaluation.decision import apply_gates
from include.evaluation.group_fairness import Answered, judge_groups
from include.spec.fairness import FairnessRule

ROWS = 2000
BINARY = {
    "demographic_parity_difference": fairlearn.demographic_parity_difference,
    "demographic_parity_ratio": fairlearn.demographic_parity_ratio,
    "equalized_odds_difference": fairlearn.equalized_odds_difference,
    "equalized_odds_ratio": fairlearn.equalized_odds_ratio,
    "equal_opportunity_difference": fairlearn.equal_opportunity_difference,
}


def sample() -> tuple[Answered, np.ndarray]:
    random = np.random.default_rng(0)
    groups = random.choice(["a", "b", "c"], ROWS, p=[0.5, 0.3, 0.2])
    labels = (random.random(ROWS) < 0.4).astype(float)
    scores = np.clip(0.3 + 0.3 * labels + 0.15 * (groups == "b") + random.normal(0, 0.2, ROWS), 0, 1)
    days = np.array([f"2013-01-{1 + row % 20:02}" for row in range(ROWS)])
    return Answered.of("binary_classification", labels, scores, days, 0.5), groups


def judge(rule: dict[str, Any], task: Any = "binary_classification", answered: Any = None, groups: Any = None) -> Any:
    made, columns = sample()
    found = judge_groups(
        task, [FairnessRule.model_validate({"column": "g"} | rule)], {"g": columns if groups is None else groups},
        answered or made, confidence=0.95, seed=7,
    )  # fmt: skip
    json.dumps(found, allow_nan=False)
    return found[0]


@pytest.mark.parametrize("measure", BINARY)
def test_each_measure_is_fairlearns(measure: str) -> None:
    answered, groups = sample()
    expected = BINARY[measure](answered.labels, answered.answers, sensitive_features=groups)
    found = judge({"measure": measure})["estimate"]
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < found["high"]


@pytest.mark.parametrize(
    ("task", "measure", "metric"),
    [
        ("multiclass_classification", "accuracy_difference", accuracy_score),
        ("regression", "mae_difference", mean_absolute_error),
    ],
)
def test_other_tasks_are_compared_by_how_often_or_how_far_they_are_wrong(task: Any, measure: str, metric: Any) -> None:
    random, (_, groups) = np.random.default_rng(1), sample()
    labels = random.integers(0, 3, ROWS).astype(float)
    predictions = random.random((ROWS, 3)) if task != "regression" else labels + random.normal(size=ROWS)
    answered = Answered.of(task, labels, predictions, np.array(["_"] * ROWS), 0.5)
    frame = fairlearn.MetricFrame(metrics=metric, y_true=labels, y_pred=answered.answers, sensitive_features=groups)
    assert judge({"measure": measure}, task, answered)["estimate"]["value"] == pytest.approx(frame.difference())


def test_the_groups_rates_are_shown_and_small_groups_are_not_judged() -> None:
    _, groups = sample()
    groups = groups.astype(object)
    groups[:40] = None
    found = judge({"measure": "equal_opportunity_difference", "fewest_rows": 300}, groups=groups)
    assert [(one["value"], one["judged"]) for one in found["groups"]] == [
        ("a", True), ("b", True), ("c", True), ("(missing)", False),
    ]  # fmt: skip
    assert found["rates"] == ["Share of yes", "True positive rate", "False positive rate", "Accuracy"]


@pytest.mark.parametrize(
    ("measure", "limit", "passed", "surely"),
    [
        ("demographic_parity_difference", 0.9, True, False),
        ("demographic_parity_difference", 0.0, False, True),
        ("demographic_parity_ratio", 0.0, True, False),
        ("demographic_parity_ratio", 1.0, False, True),
    ],
)
def test_a_limit_is_a_gate(measure: str, limit: float, passed: bool, surely: bool) -> None:
    found = judge({"measure": measure, "limit": limit})
    assert (found["passed"], found["surely_failed"]) == (passed, surely)
    (gate,) = apply_gates("binary_classification", [], {"fairness": [found]})
    assert (gate.passed, gate.bound) == (passed, limit)
    assert gate.gate.startswith("Demographic parity")
    assert gate.by is not None
    assert (gate.by >= 0) == passed


def test_too_few_rows_are_no_pass() -> None:
    found = judge({"measure": "demographic_parity_difference", "limit": 0.9, "fewest_rows": 1500})
    assert (found["estimate"]["value"], found["passed"], found["surely_failed"]) == (None, False, False)
    (gate,) = apply_gates("binary_classification", [], {"fairness": [found]})
    assert not gate.passed
    assert "fewer than two groups of g have 1500 rows" in gate.sentence()


def test_a_rule_whose_column_is_not_there_is_left_out() -> None:
    answered, groups = sample()
    rule = FairnessRule(column="h", measure="demographic_parity_difference")
    assert judge_groups("binary_classification", [rule], {"g": groups}, answered, confidence=0.95, seed=7) == []
