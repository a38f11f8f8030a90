"""The business's own number: computed row by row in SQL, judged like any other metric, in gates and in production."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from include.evaluation.comparison import Judging, compare
from include.evaluation.decision import Standing, decide
from include.evaluation.live import Labelled, Rules, judge
from include.evaluation.metrics import find_metric
from include.evaluation.objective import ObjectiveFailed, RowObjective
from include.evaluation.scoring import make_scorer
from include.evaluation.slices import judge_slices
from include.registry.plans import plan_for
from include.spec.definition import Gate
from include.spec.objective import Objective
from tests.evaluation.test_decision import AS_OF
from tests.evaluation.test_live import RULES, World
from tests.training.factories import make_definition

ROWS = 600
RANDOM = np.random.default_rng(5)
LABELS = (RANDOM.random(ROWS) < 0.4).astype(float)
SCORES = np.clip(LABELS * 0.4 + RANDOM.random(ROWS) * 0.6, 0, 1)
FARE = RANDOM.integers(50, 500, ROWS).astype(object)
KILOMETRES = RANDOM.random(ROWS) * 900
EARNED = "CASE WHEN decision AND label = 1 THEN fare WHEN decision THEN -30 END"
EARNS = Objective(expression=EARNED, per="kilometres", goal="greater", title="Earned by kilometre")


def rows_of(objective: Objective = EARNS, **columns: Any) -> RowObjective:
    return RowObjective.of(objective, {"fare": FARE, "kilometres": KILOMETRES, "unused": FARE, **columns})


def by_hand(weights: np.ndarray, threshold: float) -> float:
    decided = threshold <= SCORES
    earned = np.where(LABELS == 1, FARE.astype(float), -30.0)
    return float((earned * weights)[decided].sum() / (KILOMETRES * weights)[decided].sum())


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_it_is_a_ratio_of_sums_over_the_rows_that_count_in_every_resample(threshold: float) -> None:
    scorer = make_scorer("binary_classification", LABELS, SCORES, threshold=threshold, whose="m", objective=rows_of())
    weights = np.vstack([np.ones(ROWS), RANDOM.poisson(1.0, ROWS)]).astype(float)
    found = scorer.score(weights)["objective"].tolist()
    assert found == pytest.approx([by_hand(weight, threshold) for weight in weights], rel=1e-9)


def test_where_no_row_counts_it_is_undefined_and_says_so() -> None:
    scorer = make_scorer("binary_classification", LABELS, SCORES, threshold=1.1, whose="m", objective=rows_of())
    assert np.isnan(scorer.score(np.ones((1, ROWS)))["objective"][0])
    assert scorer.undefined("objective") == "the objective counts none of these rows"


def test_of_a_regression_it_reads_prediction_label_and_columns() -> None:
    short = Objective(expression="greatest(label - prediction, 0) * fare", goal="smaller")
    scorer = make_scorer("regression", LABELS, SCORES, threshold=0.5, whose="m", objective=rows_of(short))
    expected = (np.maximum(LABELS - SCORES, 0) * FARE.astype(float)).mean()
    assert scorer.score(np.ones((1, ROWS)))["objective"][0] == pytest.approx(expected)


@pytest.mark.parametrize("goal", ["smaller", "greater"])
def test_its_goal_says_which_of_two_models_is_better(goal: Any) -> None:
    objective = Objective(expression="(prediction - label) * (prediction - label)", goal=goal)
    judging = Judging("binary_classification", 0.5, 100, 0.95, 7, objective=rows_of(objective))
    measured = compare(judging, LABELS, SCORES, {"naive": np.full(ROWS, 0.4)})
    lead = measured.improvements["naive"]["objective"].value
    assert lead is not None
    assert (lead > 0) == (goal == "smaller")
    assert find_metric("objective", "regression", objective).higher_is_better == (goal == "greater")


def test_a_slice_is_judged_by_its_own_rows() -> None:
    import pandas as pd

    sides = np.where(np.arange(ROWS) % 3 == 0, "third", "rest")
    judging = Judging("binary_classification", 0.3, 50, 0.95, 7, objective=rows_of())
    found = judge_slices(judging, pd.DataFrame({"side": sides}), LABELS, SCORES, {})
    for one in found:
        assert one.comparison is not None
        value = one.comparison.estimates["challenger"]["objective"].value
        assert value == pytest.approx(by_hand((sides == one.value).astype(float), 0.3), rel=1e-9)


def test_one_that_reads_no_column_is_judged_on_some_of_the_rows_too() -> None:
    plain = rows_of(Objective(expression="abs(prediction - label)", goal="smaller"))
    chosen = np.arange(ROWS) % 3 == 0
    scorer = make_scorer(
        "regression", LABELS[chosen], SCORES[chosen], threshold=0.5, whose="m", objective=plain.rows(chosen)
    )
    found = scorer.score(np.ones((1, int(chosen.sum()))))["objective"][0]
    assert found == pytest.approx(np.abs(LABELS - SCORES)[chosen].mean())


@pytest.mark.parametrize(("at_least", "promoted"), [(0.01, True), (100.0, False)])
def test_a_gate_may_ask_for_it(at_least: float, promoted: bool) -> None:
    judging = Judging("binary_classification", 0.3, 100, 0.95, 7, objective=rows_of())
    measured = compare(judging, LABELS, SCORES, {"naive": np.full(ROWS, 0.4)})
    document = {
        "challenger": {name: one.to_document() for name, one in measured.estimates["challenger"].items()},
        "improvements": {"naive": {n: one.to_document() for n, one in measured.improvements["naive"].items()}},
        "comparison": {"status": "none", "champion_version": None, "reason": None}, "fair": True,
    }  # fmt: skip
    gates = [Gate(metric="objective", at_least=at_least), Gate(metric="objective", against="naive")]
    decision = decide("binary_classification", gates, document, Standing(), as_of=AS_OF, objective=EARNS)
    assert decision.promote is promoted
    assert f"Earned by kilometre at least {at_least:g}" in decision.reason


@pytest.mark.parametrize(
    ("expression", "words"),
    [("fare * prediction || 'x'", "cannot be computed"), ("exp(1000 * label + 800 * prediction)", "")],
)
def test_sql_that_fails_is_one_clear_refusal(expression: str, words: str) -> None:
    objective = Objective(expression=expression, goal="smaller")
    with pytest.raises(ObjectiveFailed, match="Correct the expression") as caught:
        make_scorer("regression", LABELS, SCORES, threshold=0.5, whose="m", objective=rows_of(objective))
    assert words in str(caught.value)


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "advance"), (3.0, "rollback")])
def test_a_challenger_in_production_is_judged_by_it(noise: float, verdict: str) -> None:
    world = World(6000)
    challenger = world.champion if not noise else world.blurred(noise)
    objective = Objective(expression="abs(prediction - label) * weight", goal="smaller", title="Weighted miss")
    evidence = world.evidence(challenger, labelled=None)
    labelled: Labelled = replace(evidence.labelled, columns={"weight": np.linspace(1, 2, 6000)})
    rules = replace(RULES, metric="objective", objective=objective, prediction_shift=9.0)
    found = judge(replace(evidence, labelled=labelled), rules)
    assert found.verdict == verdict, found.reason
    assert "Weighted miss is" in found.reason


def test_the_plan_of_a_stage_carries_it_with_the_types_of_its_columns() -> None:
    evaluation: dict[str, Any] = {
        "objective": {"expression": "prediction * distance * seats", "goal": "smaller"}, "metrics": ["objective"],
    }  # fmt: skip
    definition = make_definition(evaluation=evaluation)
    plan = plan_for(definition, None, champion=1, started_at=AS_OF)
    assert plan["metric"] == "objective"
    assert plan["objective"]["columns"] == {"distance": "number", "seats": "integer"}
    assert Rules.of(plan).objective == definition.evaluation.objective
    assert Rules.of({key: value for key, value in plan.items() if key != "objective"}).objective is None
