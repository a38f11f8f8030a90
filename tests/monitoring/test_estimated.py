"""Quality without labels: near the truth while calibration holds, blind to a changed relation, and never all-well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from include.evaluation.answers import Answers
from include.monitoring.estimated import TOO_OLD, EstimatedQuality, estimate_quality
from include.monitoring.quality_trend import quality_trend, truth_within
from include.monitoring.scored import Holdout, scorer_of
from include.spec.definition import Definition
from include.training.confidence import learn_confidence
from tests.training.factories import make_definition

BINARY = make_definition(
    evaluation={"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    monitoring={"decay": {"metrics": ["roc_auc", "log_loss"]}},
)
REGRESSION = make_definition(
    task="regression",
    label={"expression": "delay", "known_after": "1d"},
    evaluation={"metrics": ["mae"], "gates": [{"metric": "mae", "at_most": 100}]},
)


def binary(seed: int, rows: int = 3000, *, spread: float = 1.5, flipped: bool = False) -> Answers:
    """Days have their luck; the smaller the spread, the harder the rows."""
    random = np.random.default_rng(seed)
    day = np.arange(rows) % 28
    scores = random.normal(0, spread, rows)
    luck = random.normal(0, 0.2, 28)[day]
    truth = 1 / (1 + np.exp(-(-scores if flipped else scores) - luck))
    return Answers(
        labels=(random.random(rows) < truth).astype(float),
        predictions=1 / (1 + np.exp(-scores)),
        partitions=np.array([f"2013-01-{1 + one:02d}" for one in day]),
        answered=rows,
    )


def regression(seed: int, rows: int = 3000, *, high: float = 5) -> Answers:
    """Errors grow with the answer."""
    random = np.random.default_rng(seed)
    said = random.uniform(1, high, rows)
    labels = said * (1 + random.normal(0, 0.3, rows))
    days = np.array([f"2013-01-{1 + row % 28:02d}" for row in range(rows)])
    return Answers(labels=labels, predictions=said, partitions=days, answered=rows)


def estimated(definition: Definition, before: Answers, now: Answers, **changes: Any) -> EstimatedQuality:
    confidence = learn_confidence(definition.task, before.labels, before.predictions, before.partitions)
    return estimate_quality(definition, confidence | changes, now, Holdout(definition, before, None), threshold=None)


def without_labels(answers: Answers) -> Answers:
    return replace(answers, labels=np.full(answers.rows, np.nan))


def test_the_truth_mostly_lies_in_the_interval_while_calibration_holds() -> None:
    inside = []
    for seed in range(12):
        now = binary(seed, 1500)
        said = estimated(BINARY, binary(100 + seed, 1500), without_labels(now))
        truth = scorer_of(BINARY, now, None).points
        inside += [(m.estimate.low or 1) <= truth[m.name] <= (m.estimate.high or 0) for m in said.metrics]

    assert np.mean(inside) >= 0.8


def test_harder_rows_are_a_warning_and_easier_ones_no_praise() -> None:
    harder = estimated(BINARY, binary(1), without_labels(binary(2, spread=0.5)))
    easier = estimated(BINARY, binary(1), without_labels(binary(2, spread=3)))

    assert harder.verdict == "warning"
    assert "wait for labels" in harder.reason
    assert easier.verdict == "estimate"
    assert "assumes that the calibration of the holdout part still holds" in easier.reason


def test_a_changed_relation_is_not_seen_and_the_reason_says_so() -> None:
    now = binary(2, flipped=True)
    said = estimated(BINARY, binary(1), without_labels(now))

    assert said.verdict == "estimate"
    assert "cannot see a changed relation" in said.reason
    assert scorer_of(BINARY, now, None).points["roc_auc"] < 0.5


def test_a_regressions_error_follows_the_size_of_its_answers() -> None:
    now = regression(2, high=9)
    said = estimated(REGRESSION, regression(1, high=9), without_labels(now.chosen(now.predictions > 5)))
    [metric] = said.metrics
    truth = scorer_of(REGRESSION, now.chosen(now.predictions > 5), None).points["mae"]

    assert said.verdict == "warning"
    assert metric.estimate.low is not None
    assert metric.estimate.low <= truth <= (metric.estimate.high or 0)


def test_an_objective_is_estimated_too_and_several_classes_are() -> None:
    objective = {"expression": "CASE WHEN decision THEN 2 * label - 1 ELSE 0 END", "goal": "greater"}
    wanting = make_definition(evaluation={**BINARY.evaluation.model_dump(include={"metrics"}), "objective": objective,
                                          "gates": [{"metric": "roc_auc", "at_least": 0.5}]})  # fmt: skip
    earning = estimated(wanting, binary(1), without_labels(binary(2)))
    random = np.random.default_rng(3)
    said = random.dirichlet([1, 1, 1], 2000)
    labels = (random.random((2000, 1)) > np.cumsum(said, axis=1)[:, :-1]).sum(axis=1).astype(float)
    classes = make_definition(
        task="multiclass_classification",
        label={"expression": "carrier", "classes": ["AA", "B6", "UA"], "known_after": "1d"},
        evaluation={"metrics": ["accuracy"], "gates": [{"metric": "accuracy", "at_least": 0.3}]},
    )
    answers = Answers(labels=labels, predictions=said, partitions=np.full(2000, "2013-01-01"), answered=2000)
    [accuracy] = estimated(classes, answers, without_labels(answers)).metrics

    assert [one.name for one in earning.metrics] == ["roc_auc", "objective"]
    assert earning.metrics[1].estimate.value is not None
    assert accuracy.estimate.value == pytest.approx(float((said.argmax(axis=1) == labels).mean()), abs=0.04)


def test_a_version_from_before_estimates_has_none() -> None:
    said = estimate_quality(BINARY, None, binary(1), None, threshold=None)

    assert (said.verdict, said.reason) == ("no estimate", f"No estimate: {TOO_OLD}")


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_few_answers_are_no_estimate(rows: int) -> None:
    said = estimated(BINARY, binary(1), binary(2, rows))

    assert said.verdict == "no estimate"
    assert f"{rows} answers are too few" in said.reason


def test_infinite_answers_and_an_unusable_holdout_are_no_estimate() -> None:
    now = binary(2)
    infinite = replace(now, predictions=now.predictions * np.inf)

    assert "no finite number" in estimated(BINARY, binary(1), infinite).reason
    assert "one class only" in estimated(BINARY, binary(1), now, reason="its holdout part had one class only").reason


def test_constant_answers_have_an_estimate_that_is_no_praise() -> None:
    now = binary(2)
    said = estimated(BINARY, binary(1), replace(now, predictions=np.full(now.rows, 0.5)))

    assert said.verdict == "warning"
    assert said.metrics[0].estimate.value == pytest.approx(0.5)


def test_past_windows_say_how_often_the_truth_lay_in_the_interval() -> None:
    def details(end: str, value: float, low: float | None, version: int = 1) -> dict[str, Any]:
        now = {"value": value, "low": 0.6, "high": 0.8}
        estimates = [{"name": "roc_auc", "value": 0.7, "low": low, "high": 0.75, "made": None}]
        changes = [{"name": "roc_auc", "now": now, "decayed": False}]
        return {"champion_version": version, "window": {"end": end}, "verdict": "no decay", "changes": changes,
                "estimates": estimates}  # fmt: skip

    newest = details("2013-04-01T00:00:00-04:00", 0.7, 0.65)
    before = [
        details("2013-05-01T00:00:00-04:00", 0.7, 0.65),
        details("2013-03-01T00:00:00-05:00", 0.5, 0.65),
        details("2013-03-01T00:00:00-05:00", 0.7, 0.65),
        details("2013-02-01T00:00:00-05:00", 0.7, None),
        details("2013-01-01T00:00:00-05:00", 0.7, 0.65, version=2),
        {**newest, "changes": [], "window": {"end": None}},
    ]
    trend = quality_trend(newest, before)

    assert [one["end"][:10] for one in trend] == ["2013-02-01", "2013-03-01", "2013-04-01"]
    assert truth_within(trend) == {"roc_auc": (1, 2)}
