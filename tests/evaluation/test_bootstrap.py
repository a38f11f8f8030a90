"""Intervals: seeded, paired, honest about what is undefined, and fast."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from include.evaluation.bootstrap import draw, estimates, improvement
from include.evaluation.comparison import Judging, compare
from include.evaluation.metrics import METRICS
from include.evaluation.scoring import Scorer, make_scorer


def judging(rounds: int = 400, task: str = "binary_classification") -> Judging:
    return Judging(task=task, threshold=0.3, rounds=rounds, confidence=0.95, seed=7)  # type: ignore[arg-type]


def scorer(labels: np.ndarray, scores: np.ndarray) -> Scorer:
    return make_scorer("binary_classification", labels, scores, threshold=0.3, whose="m")


def sample(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.25).astype(float)
    return labels, np.clip(0.2 + 0.2 * labels + random.normal(0, 0.2, rows), 0, 1)


def test_the_same_seed_gives_the_same_draws_and_another_seed_does_not() -> None:
    one = scorer(*sample(300))
    first, again, other = (draw({"m": one}, rounds=50, seed=seed)["m"]["roc_auc"] for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_interval_holds_the_value() -> None:
    one = scorer(*sample(2000))
    for name, found in estimates(one, draw({"m": one}, rounds=300, seed=1)["m"], confidence=0.95).items():
        assert found.low < found.value < found.high, name  # type: ignore[operator]


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        labels = random.normal(0, 1, 200)
        one = make_scorer("regression", labels, np.zeros(200), threshold=0.5, whose="m")
        found = estimates(one, draw({"m": one}, rounds=200, seed=seed)["m"], confidence=0.9)["mae"]
        covered += found.low <= np.sqrt(2 / np.pi) <= found.high  # type: ignore[operator]
    assert 165 <= covered <= 195


def test_a_model_compared_with_its_equal_wins_by_exactly_nothing() -> None:
    labels, scores = sample(500)
    found = compare(judging(), labels, scores, {"champion": scores.copy()}).improvements["champion"]

    assert {(one.value, one.low, one.high) for one in found.values()} == {(0.0, 0.0, 0.0)}


def test_paired_intervals_are_narrower_than_the_models_own() -> None:
    labels, scores = sample(2000)
    similar = np.clip(scores + np.random.default_rng(5).normal(0, 0.01, 2000), 0, 1)
    compared = compare(judging(), labels, scores, {"champion": similar})
    paired, own = compared.improvements["champion"]["roc_auc"], compared.estimates["challenger"]["roc_auc"]

    assert paired.high - paired.low < (own.high - own.low) / 5  # type: ignore[operator]


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_improvement_is_positive_for_the_better_model_in_either_direction(name: str) -> None:
    labels, scores = sample(1000)
    draws = draw({"good": scorer(labels, scores), "bad": scorer(labels, 1 - scores)}, rounds=200, seed=1)
    good, bad = (scorer(labels, scores), draws["good"]), (scorer(labels, 1 - scores), draws["bad"])

    assert improvement(METRICS[name], good, bad, confidence=0.95).low > 0  # type: ignore[operator]
    assert improvement(METRICS[name], bad, good, confidence=0.95).high < 0  # type: ignore[operator]


def test_a_holdout_of_one_class_gives_null_with_the_reason_and_json_without_nan() -> None:
    labels, scores = np.zeros(50), np.linspace(0, 0.9, 50)
    found = compare(judging(100), labels, scores, {"naive": np.full(50, 0.1)})
    document = {name: one.to_document() for name, one in found.estimates["challenger"].items()}

    json.dumps(document, allow_nan=False)
    assert document["roc_auc"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "none of the 50 rows has the label 1",
    }
    assert document["log_loss"]["value"] is not None
    assert found.improvements["naive"]["roc_auc"].reason == "none of the 50 rows has the label 1"


def test_a_constant_regression_label_leaves_r2_undefined() -> None:
    labels = np.full(60, 0.1)
    found = compare(judging(100, "regression"), labels, labels + np.random.default_rng(0).normal(size=60), {})

    assert found.estimates["challenger"]["r2"].reason == "all of the 60 rows have the same label"
    assert found.estimates["challenger"]["rmse"].value is not None


def test_a_metric_that_most_resamples_leave_undefined_has_a_value_but_no_interval() -> None:
    labels = np.zeros(40)
    labels[3] = 1
    found = compare(judging(200), labels, np.linspace(0, 1, 40), {}).estimates["challenger"]["roc_auc"]

    assert found.value is not None
    assert found.low is None
    assert str(found.reason).startswith("too few rows for an interval")


def test_models_with_other_numbers_of_rows_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the same rows"):
        draw({"a": scorer(*sample(10)), "b": scorer(*sample(11))}, rounds=1, seed=0)


def test_two_hundred_resamples_of_twelve_thousand_rows_take_a_second_or_two() -> None:
    labels, scores = sample(12_000)
    champion = np.clip(scores + 0.01, 0, 1)
    started = time.process_time()
    compare(
        judging(200), labels, scores, {"champion": champion}, [f"2013-10-{1 + row % 28:02}" for row in range(12_000)]
    )

    assert time.process_time() - started < 4
