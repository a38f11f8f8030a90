"""Decay: worse than on the holdout part by more than chance and by enough to matter; never a false all-well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from include.evaluation.answers import Answers
from include.monitoring.decay import DecayResult, judge_decay, watched
from include.monitoring.labelled import seen_until
from include.monitoring.scored import FEWEST_LABELS, Holdout
from include.spec.definition import Definition
from tests.training.factories import make_definition

BINARY: dict[str, Any] = {"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]}


def answers(rows: int, noise: float, seed: int, *, days: int = 28, answered: int | None = None) -> Answers:
    """Of a binary classification; the more noise, the worse the ranking."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.3).astype(float)
    raw = labels + random.normal(0, noise, rows)
    return Answers(
        labels=labels,
        predictions=1 / (1 + np.exp(-raw)),
        partitions=np.array([f"2013-01-{1 + row % days:02d}" for row in range(rows)]),
        answered=answered or rows,
    )


def compared(definition: Definition, before: Answers, now: Answers, threshold: float | None = None) -> DecayResult:
    return judge_decay(definition, Holdout(definition, before, threshold), now, threshold=threshold)


def judged(before: Answers, now: Answers, **decay: Any) -> DecayResult:
    definition = make_definition(evaluation=BINARY, monitoring={"decay": decay})
    return compared(definition, before, now)


def test_answers_like_the_holdouts_are_no_decay_and_say_what_that_rests_on() -> None:
    result = judged(answers(3000, 1.5, 1), answers(900, 1.5, 2, answered=1200))

    assert result.verdict == "no decay"
    assert "It rests on 900 labels of 1,200 answers." in result.reason
    [change] = result.changes
    assert change.name == "roc_auc"
    assert change.change.low is not None
    assert change.change.low < 0 < (change.change.high or 0)


def test_worse_answers_are_decay_and_the_reason_tells_both_values() -> None:
    result = judged(answers(3000, 1.0, 1), answers(900, 3.0, 2))

    assert result.verdict == "decay"
    [change] = result.changes
    for side in (change.before.value, change.now.value):
        assert f"{side:.4g}" in result.reason


def test_a_loss_that_does_not_matter_is_no_decay_however_sure_it_is() -> None:
    before, now = answers(12_000, 1.0, 1), answers(12_000, 1.2, 2)

    assert judged(before, now, least_change=0.2).verdict == "no decay"
    assert judged(before, now, least_change=0.01).verdict == "decay"


def test_better_answers_are_no_decay() -> None:
    assert judged(answers(3000, 2.0, 1), answers(900, 0.5, 2)).verdict == "no decay"


def test_of_a_metric_that_should_be_small_a_greater_value_is_decay() -> None:
    assert judged(answers(3000, 1.0, 1), answers(900, 6.0, 2), metrics=["log_loss"]).verdict == "decay"


def test_without_any_difference_at_most_one_in_twenty_alarms() -> None:
    before = answers(3000, 1.5, 1)
    alarms = sum(judged(before, answers(300, 1.5, seed), least_change=0.001).verdict == "decay" for seed in range(40))

    assert alarms <= 2


def test_without_the_holdouts_answers_nothing_is_compared() -> None:
    result = judge_decay(make_definition(evaluation=BINARY), None, answers(500, 1.5, 2), threshold=None)
    assert (result.verdict, result.labels) == ("not enough data", 500)
    assert "holdout part are not published" in result.reason


@pytest.mark.parametrize("rows", [0, 1, FEWEST_LABELS - 1])
def test_too_few_labels_are_said(rows: int) -> None:
    result = judged(answers(3000, 1.5, 1), answers(rows, 1.5, 2, answered=5000))

    assert result.verdict == "not enough data"
    assert f"{rows or 'None'} of 5,000 answers ha" in result.reason
    assert f"no verdict on quality. At least {FEWEST_LABELS} labels are needed." in result.reason


def test_labels_of_one_class_only_are_not_enough_data() -> None:
    now = answers(500, 1.5, 2)
    only = Answers(labels=np.zeros(500), predictions=now.predictions, partitions=now.partitions, answered=500)

    assert judged(answers(3000, 1.5, 1), only).verdict == "not enough data"


def test_answers_that_are_no_numbers_are_not_enough_data() -> None:
    now = answers(500, 1.5, 2)
    broken = Answers(labels=now.labels, predictions=now.predictions * np.inf, partitions=now.partitions, answered=500)

    assert judged(answers(3000, 1.5, 1), broken).verdict == "not enough data"


def test_labels_of_few_days_are_told() -> None:
    assert "too narrow" in judged(answers(3000, 1.5, 1), answers(900, 1.5, 2, days=2)).reason


def test_the_objective_is_watched_beside_the_first_metric_and_judged_by_its_columns() -> None:
    objective = {"expression": "CASE WHEN decision THEN distance * (2 * label - 1) ELSE 0 END", "goal": "greater"}
    definition = make_definition(evaluation=BINARY | {"objective": objective})
    assert [metric.name for metric in watched(definition)] == ["roc_auc", "objective"]

    before, now = answers(3000, 0.5, 1), answers(900, 6.0, 2)
    sides = [
        Answers(
            labels=one.labels,
            predictions=one.predictions,
            partitions=one.partitions,
            answered=one.rows,
            columns={"distance": np.full(one.rows, 10.0)},
        )
        for one in (before, now)
    ]
    result = compared(definition, sides[0], sides[1], threshold=0.6)
    assert {change.name: change.decayed for change in result.changes} == {"roc_auc": True, "objective": True}


def test_what_a_version_has_seen_ends_with_its_last_part() -> None:
    windows = {
        "train": {"start": "2013-01-01T00:00:00-05:00", "end": "2013-02-01T00:00:00-05:00"},
        "holdout": {"start": "2013-02-01T00:00:00-05:00", "end": "2013-02-08T00:00:00-05:00"},
    }
    assert seen_until(windows) == datetime.fromisoformat("2013-02-08T00:00:00-05:00")
    assert seen_until({"train": {"by": "split", "start": 0, "end": 5}}) is None


def sliced(rows: int, seed: int, *, broken: str = "", values: int = 8, bias: float = 0.0) -> Answers:
    """Answers that are right on average but for the rows of one slice; the bias is added to the labels' share."""
    random = np.random.default_rng(seed)
    said = random.uniform(0.05, 0.8, rows)
    names = np.char.add("c", (np.arange(rows) % values).astype(str))
    truth = np.where(names == broken, random.permutation(said), said) + bias
    return Answers(
        labels=(random.random(rows) < truth).astype(float),
        predictions=said,
        partitions=np.array([f"2013-01-{1 + row % 28:02d}" for row in random.permutation(rows)]),
        slices={"carrier": names, "gone": np.full(rows, None)},
        answered=rows,
    )


def judged_by_slices(before: Answers, now: Answers) -> DecayResult:
    definition = make_definition(evaluation=BINARY | {"slices": ["carrier"]})
    return compared(definition, before, now)


def test_a_slice_that_is_worse_is_named_and_turns_no_verdict() -> None:
    result = judged_by_slices(sliced(8000, 1), sliced(8000, 2, broken="c3"))

    assert result.verdict == "no decay"
    assert [(one.column, one.value) for one in result.slices if one.worse] == [("carrier", "c3")]
    assert result.slices[0].worse
    assert "carrier c3" in (result.warning or "")


def test_slices_with_few_labels_are_not_judged() -> None:
    result = judged_by_slices(sliced(8000, 1, values=10_000), sliced(8000, 2, values=10_000))

    assert result.slices == ()


def test_answers_that_lie_off_the_truth_are_miscalibrated_and_turn_no_verdict() -> None:
    result = judged_by_slices(sliced(6000, 1), sliced(6000, 2, bias=0.15))

    told = {one.name: one for one in result.calibration}
    assert told["mean error"].worse
    assert told["mean error"].now.value == pytest.approx(-0.15, abs=0.03)
    assert "share that came true" in (result.warning or "")
    assert result.verdict == "no decay"


def test_of_a_regression_the_mean_error_is_its_calibration() -> None:
    definition = make_definition(
        task="regression",
        label={"expression": "delay", "known_after": "1d"},
        evaluation={"metrics": ["mae"], "gates": [{"metric": "mae", "at_most": 100}]},
    )
    random = np.random.default_rng(1)

    def side(bias: float) -> Answers:
        labels = random.normal(0, 1, 2000)
        days = np.array([f"2013-01-{1 + row % 28:02d}" for row in range(2000)])
        said = labels + random.normal(bias, 1, 2000)
        return Answers(labels=labels, predictions=said, partitions=days, answered=2000)

    [same] = compared(definition, side(0), side(0)).calibration
    [off] = compared(definition, side(0), side(0.5)).calibration

    assert (same.worse, off.worse) == (False, True)
    assert off.change.value == pytest.approx(0.5, abs=0.15)


def test_of_several_classes_each_has_its_mean_error() -> None:
    definition = make_definition(
        task="multiclass_classification",
        label={"expression": "carrier", "classes": ["AA", "B6", "UA"], "known_after": "1d"},
        evaluation={"metrics": ["accuracy"], "gates": [{"metric": "accuracy", "at_least": 0.3}]},
    )

    def side(seed: int, weights: list[float]) -> Answers:
        random = np.random.default_rng(seed)
        said = random.dirichlet([1, 1, 1], 3000)
        truth = said * weights
        truth /= truth.sum(axis=1, keepdims=True)
        labels = (random.random((3000, 1)) > np.cumsum(truth, axis=1)[:, :-1]).sum(axis=1).astype(float)
        days = np.array([f"2013-01-{1 + row % 28:02d}" for row in range(3000)])
        return Answers(labels=labels, predictions=said, partitions=days, answered=3000)

    result = compared(definition, side(1, [1, 1, 1]), side(2, [1, 3, 1]))
    worse = {one.name for one in result.calibration if one.worse}

    assert {one.name for one in result.calibration} >= {"mean error", "slope", "mean error of AA"}
    assert "mean error of B6" in worse
