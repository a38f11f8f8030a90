"""The cost of right and wrong answers: a metric like any other, and where its threshold lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from include.evaluation.comparison import Judging, compare
from include.evaluation.curves import cost_curve
from include.evaluation.decision import Standing, decide
from include.evaluation.live import Rules, judge
from include.evaluation.metrics import display_order, metrics_of
from include.evaluation.scoring import make_scorer
from include.registry.plans import plan_for
from include.spec.costs import Costs
from include.spec.definition import Gate
from tests.evaluation.test_decision import AS_OF
from tests.evaluation.test_live import RULES, World
from tests.training.factories import make_definition

COSTS = Costs(false_positive=2.0, false_negative=10.0, true_positive=1.0, true_negative=-0.5)
LABELS = (np.random.default_rng(1).random(900) < 0.3).astype(float)
SCORES = np.clip(LABELS * 0.3 + np.random.default_rng(2).random(900) * 0.7, 0, 1)


def by_hand(labels: np.ndarray, scores: np.ndarray, threshold: float, weights: np.ndarray) -> float:
    cost = {(True, True): 1.0, (True, False): 2.0, (False, True): 10.0, (False, False): -0.5}
    each = np.array([cost[bool(score >= threshold), bool(label)] for label, score in zip(labels, scores, strict=True)])
    return float((each * weights).sum() / weights.sum())


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_the_cost_is_the_mean_of_what_each_answer_costs_in_every_resample(threshold: float) -> None:
    scorer = make_scorer("binary_classification", LABELS, SCORES, threshold=threshold, whose="m", costs=COSTS)
    weights = np.vstack([np.ones(900), np.random.default_rng(3).poisson(1.0, 900)]).astype(float)
    expected = [by_hand(LABELS, SCORES, threshold, weight) for weight in weights]
    assert scorer.score(weights)["cost"].tolist() == pytest.approx(expected, rel=1e-9)


def test_without_costs_there_is_no_such_metric() -> None:
    scorer = make_scorer("binary_classification", LABELS, SCORES, threshold=0.5, whose="m")
    assert "cost" not in scorer.score(np.ones((1, 900)))
    assert "cost" not in [metric.name for metric in metrics_of("binary_classification", costs=False)]
    shown = [metric.name for metric in display_order("binary_classification", ["cost"], costs=True)]
    assert shown[0] == "cost"
    assert shown.count("cost") == 1


def test_the_curve_has_the_cost_at_every_threshold() -> None:
    ones = np.ones(900)
    for at, cost in cost_curve(LABELS, SCORES, COSTS)[::7]:
        assert cost == pytest.approx(by_hand(LABELS, SCORES, at, ones), rel=1e-9)


def test_with_true_probabilities_the_cost_is_least_at_the_best_threshold() -> None:
    random = np.random.default_rng(4)
    truth = random.random(200_000)
    labels = (random.random(200_000) < truth).astype(float)
    at, _ = min(cost_curve(labels, truth, COSTS), key=lambda point: point[1])
    assert COSTS.best_threshold == pytest.approx(2.5 / (2.5 + 9))
    assert at == pytest.approx(COSTS.best_threshold, abs=0.03)


@pytest.mark.parametrize(("at_most", "promoted"), [(10.0, True), (-1.0, False)])
def test_a_gate_may_ask_for_a_cost(at_most: float, promoted: bool) -> None:
    judging = Judging(task="binary_classification", threshold=0.3, rounds=100, confidence=0.95, seed=7, costs=COSTS)
    measured = compare(judging, LABELS, SCORES, {"naive": np.full(900, 0.3)})
    document = {
        "challenger": {name: one.to_document() for name, one in measured.estimates["challenger"].items()},
        "improvements": {"naive": {n: one.to_document() for n, one in measured.improvements["naive"].items()}},
        "comparison": {"status": "none", "champion_version": None, "reason": None}, "fair": True,
    }  # fmt: skip
    gates = [Gate(metric="cost", at_most=at_most), Gate(metric="cost", against="naive")]
    decision = decide("binary_classification", gates, document, Standing(), as_of=AS_OF)
    assert decision.promote is promoted
    assert f"Cost at most {at_most:g}: {'passed' if promoted else 'failed'}" in decision.reason
    assert measured.improvements["naive"]["cost"].value > 0, "a lower cost is an improvement"


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "advance"), (3.0, "rollback")])
def test_a_challenger_in_production_is_judged_by_its_cost(noise: float, verdict: str) -> None:
    world = World(6000)
    challenger = world.champion if not noise else world.blurred(noise)
    rules = replace(RULES, metric="cost", costs=COSTS, prediction_shift=9.0)
    found = judge(world.evidence(challenger, labelled=None), rules)
    assert found.verdict == verdict, found.reason
    assert "Cost is" in found.reason


def test_the_plan_of_a_stage_carries_the_costs_and_an_older_plan_has_none() -> None:
    evaluation: dict[str, Any] = {"costs": COSTS.model_dump(), "metrics": ["cost"]}
    plan = plan_for(make_definition(evaluation=evaluation), None, champion=1, started_at=AS_OF)
    assert plan["metric"] == "cost"
    assert Rules.of(plan).costs == COSTS
    assert Rules.of({key: value for key, value in plan.items() if key != "costs"}).costs is None
    assert plan_for(make_definition(), None, champion=1, started_at=AS_OF)["costs"] is None
