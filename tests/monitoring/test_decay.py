"""Decay: worse than on the holdout part by more than chance and by enough to matter; never a false all-well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from include.evaluation.answers import Answers
from include.monitoring.decay import FEWEST_LABELS, DecayResult, judge_decay, watched
from include.monitoring.labelled import seen_until
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


def judged(before: Answers, now: Answers, **decay: Any) -> DecayResult:
    definition = make_definition(evaluation=BINARY, monitoring={"decay": decay})
    return judge_decay(definition, before, now, threshold=None)


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


@pytest.mark.parametrize("rows", [0, 1, FEWEST_LABELS - 1])
def test_too_few_labels_are_said(rows: int) -> None:
    result = judged(answers(3000, 1.5, 1), answers(rows, 1.5, 2, answered=5000))

    assert result.verdict == "not enough data"
    assert f"It rests on {rows} labels of 5,000 answers; at least {FEWEST_LABELS} are needed." in result.reason


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
    result = judge_decay(definition, sides[0], sides[1], threshold=0.6)
    assert {change.name: change.decayed for change in result.changes} == {"roc_auc": True, "objective": True}


def test_what_a_version_has_seen_ends_with_its_last_part() -> None:
    windows = {
        "train": {"start": "2013-01-01T00:00:00-05:00", "end": "2013-02-01T00:00:00-05:00"},
        "holdout": {"start": "2013-02-01T00:00:00-05:00", "end": "2013-02-08T00:00:00-05:00"},
    }
    assert seen_until(windows) == datetime.fromisoformat("2013-02-08T00:00:00-05:00")
    assert seen_until({"train": {"by": "split", "start": 0, "end": 5}}) is None
