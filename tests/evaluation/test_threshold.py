"""The threshold at which the business's own number is best: found exactly, on rows that are not judged on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.evaluation.comparison import Judging, compare
from include.evaluation.live import Rules
from include.evaluation.live_quality import lead
from include.evaluation.objective import RowObjective
from include.evaluation.scoring import make_scorer
from include.evaluation.threshold import NoThreshold, best_threshold
from include.registry.plans import plan_for
from include.spec.costs import Costs
from include.spec.objective import Objective
from tests.evaluation.test_decision import AS_OF
from tests.evaluation.test_live import RULES, World
from tests.training.factories import make_definition

COSTS = Costs(false_positive=1.0, false_negative=5.0)
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 40)), min_size=1, max_size=30)


def measured(labels: np.ndarray, predictions: np.ndarray, threshold: float, **number: Any) -> float:
    scorer = make_scorer("binary_classification", labels, predictions, threshold=threshold, whose="m", **number)
    return float(scorer.score(np.ones((1, labels.size)))["cost" if "costs" in number else "objective"][0])


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, miss=st.integers(1, 9))
def test_no_other_threshold_costs_less(rows: list[tuple[bool, int]], miss: int) -> None:
    labels = np.array([float(label) for label, _ in rows])
    predictions = np.array([score / 40 for _, score in rows])
    costs = Costs(false_positive=1.0, false_negative=float(miss))
    found = measured(labels, predictions, best_threshold(labels, predictions, costs=costs), costs=costs)
    others = [measured(labels, predictions, at, costs=costs) for at in np.linspace(0.0125, 0.9875, 40)]
    assert found <= min(others) + 1e-12


@pytest.mark.parametrize("goal", ["smaller", "greater"])
def test_an_objective_of_sums_over_sums_is_best_there(goal: Any) -> None:
    random = np.random.default_rng(3)
    labels = (random.random(400) < 0.3).astype(float)
    predictions = np.clip(labels * 0.3 + random.random(400) * 0.7, 0, 1)
    sign = "" if goal == "greater" else "-"
    expression = f"{sign}(CASE WHEN decision THEN 10 * label - 3 ELSE 0.5 END)"
    objective = Objective(expression=expression, per="1 + weight", goal=goal)
    rows = RowObjective.of(objective, {"weight": random.random(400)})
    found = measured(labels, predictions, best_threshold(labels, predictions, objective=rows), objective=rows)
    others = [measured(labels, predictions, at, objective=rows) for at in np.linspace(0.005, 0.995, 100)]
    assert found == pytest.approx(max(others) if goal == "greater" else min(others), abs=0.03)
    assert found >= max(others) - 1e-12 if goal == "greater" else found <= min(others) + 1e-12


def test_with_true_probabilities_it_is_near_what_theory_says() -> None:
    random = np.random.default_rng(4)
    truth = random.random(100_000)
    labels = (random.random(100_000) < truth).astype(float)
    assert best_threshold(labels, truth, costs=COSTS) == pytest.approx(COSTS.best_threshold, abs=0.03)


def test_where_all_answers_should_be_alike_it_lies_beyond_every_prediction() -> None:
    predictions = np.array([0.2, 0.4, 0.6])
    assert best_threshold(np.ones(3), predictions, costs=COSTS) == pytest.approx(0.1)
    assert best_threshold(np.zeros(3), predictions, costs=COSTS) == pytest.approx(0.8)


def test_what_cannot_be_found_is_said() -> None:
    with pytest.raises(NoThreshold, match="it has no row"):
        best_threshold(np.empty(0), np.empty(0), costs=COSTS)
    with pytest.raises(NoThreshold, match="nothing says what an answer is worth"):
        best_threshold(np.ones(1), np.ones(1))
    nothing = RowObjective.of(Objective(expression="CASE WHEN decision THEN NULL END", goal="greater"), {})
    with pytest.raises(NoThreshold, match="counts none of its rows"):
        best_threshold(np.ones(2), np.array([0.1, 0.9]), objective=nothing)


def test_each_model_is_judged_at_its_own_threshold() -> None:
    random = np.random.default_rng(8)
    labels = (random.random(900) < 0.4).astype(float)
    scores = np.clip(labels * 0.3 + random.random(900) * 0.7, 0, 1)
    judging = Judging("binary_classification", 0.3, 50, 0.95, 7, costs=COSTS, champion_threshold=0.8)
    measured = compare(judging, labels, scores, {"champion": scores, "linear": scores})
    costs = {name: found["cost"].value for name, found in measured.estimates.items()}
    assert costs["challenger"] == pytest.approx(measure_at(labels, scores, 0.3))
    assert costs["linear"] == costs["challenger"]
    assert costs["champion"] == pytest.approx(measure_at(labels, scores, 0.8))


def measure_at(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    return measured(labels, scores, threshold, costs=COSTS)


def test_in_production_each_version_is_judged_at_its_own_threshold() -> None:
    world = World(3000)
    labelled = world.evidence(world.champion, labelled=None).labelled
    rules = replace(RULES, metric="cost", costs=COSTS, threshold=0.2)
    same, _ = lead(labelled, rules)
    other, champion = lead(labelled, replace(rules, champion_threshold=0.9))
    assert same.value == 0
    assert champion == pytest.approx(measure_at(labelled.labels, labelled.champion, 0.9))
    assert other.value == pytest.approx(champion - measure_at(labelled.labels, labelled.champion, 0.2))


def test_a_plan_carries_the_versions_own_thresholds() -> None:
    definition = make_definition()
    plan = plan_for(definition, None, champion=1, started_at=AS_OF, threshold=0.12, champion_threshold=0.34)
    assert (Rules.of(plan).threshold, Rules.of(plan).champion_threshold) == (0.12, 0.34)
    without = Rules.of(plan_for(definition, None, champion=1, started_at=AS_OF))
    assert (without.threshold, without.champion_threshold) == (definition.evaluation.threshold, None)
