"""Sums by group must give what every row's own weight gives, for each task, with and without ties."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from include.evaluation import ranking
from include.evaluation.bootstrap import draw
from include.evaluation.grouping import Groups
from include.evaluation.objective import RowObjective
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer, make_scorer
from include.spec.costs import Costs
from include.spec.objective import Objective

ROWS, GROUPS = 700, 13
RANDOM = np.random.default_rng(5)
PLACES = RANDOM.integers(0, GROUPS, ROWS)
COUNTS = RANDOM.poisson(1.0, (40, GROUPS)).astype(float)
LABELS = (RANDOM.random(ROWS) < 0.3).astype(float)
SCORES = np.clip(0.3 + 0.2 * LABELS + RANDOM.normal(0, 0.2, ROWS), 0, 1)
CLASSES = RANDOM.integers(0, 4, ROWS).astype(float)
ANSWERS = RANDOM.dirichlet(np.ones(4), ROWS)
COSTS = Costs(false_positive=1, false_negative=5)
WORTH = RowObjective.of(
    Objective(expression="CASE WHEN label = 1 THEN prediction * fare END", per="fare", goal="greater"),
    {"fare": RANDOM.integers(1, 9, ROWS)},
)


def binary(labels: np.ndarray, scores: np.ndarray, **more: Any) -> Scorer:
    return make_scorer("binary_classification", labels, scores, threshold=0.4, whose="m", **more)


SCORERS = {
    "probabilities that all differ": binary(LABELS, SCORES),
    "ties of many rows": binary(LABELS, SCORES.round(1)),
    "one tie of all rows": binary(LABELS, np.full(ROWS, 0.3)),
    "a perfect ranking": binary(LABELS, 0.8 * LABELS + SCORES / 10),
    "costs and an objective": binary(LABELS, SCORES, costs=COSTS, objective=WORTH),
    "no row is 1": binary(np.zeros(ROWS), SCORES),
    "all rows are 1": binary(np.ones(ROWS), SCORES),
    "one row is 1": binary((np.arange(ROWS) == 99).astype(float), SCORES),
    "values": make_scorer("regression", LABELS * 9, SCORES, threshold=0.5, whose="m", objective=WORTH),
    "classes": make_scorer("multiclass_classification", CLASSES, ANSWERS, threshold=0.5, whose="m"),
    "classes with ties": make_scorer("multiclass_classification", CLASSES, ANSWERS.round(1), threshold=0.5, whose="m"),
}


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("cells", [1, 300, 400_000])
def test_groups_that_count_as_often_as_their_rows_give_the_same_metrics(
    name: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_CELLS", cells)
    scorer = SCORERS[name]
    expected = scorer.score(COUNTS[:, PLACES])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scorer.score_groups(COUNTS, Groups(PLACES, GROUPS))
    assert list(found) == list(expected)
    for metric, values in expected.items():
        assert found[metric] == pytest.approx(values, rel=1e-9, abs=1e-12, nan_ok=True), metric


def test_areas_are_the_same_to_the_last_digit() -> None:
    scorer = SCORERS["ties of many rows"]
    expected, found = scorer.score(COUNTS[:, PLACES]), scorer.score_groups(COUNTS, Groups(PLACES, GROUPS))
    assert (found["roc_auc"] == expected["roc_auc"]).all()


def test_a_group_without_rows_counts_nothing() -> None:
    empty = Groups(PLACES + 1, GROUPS + 2)
    counts = np.pad(COUNTS, ((0, 0), (1, 1)), constant_values=7.0)
    expected = SCORERS["ties of many rows"].score_groups(COUNTS, Groups(PLACES, GROUPS))
    found = SCORERS["ties of many rows"].score_groups(counts, empty)
    assert {name: values.tolist() for name, values in found.items()} == {
        name: pytest.approx(values.tolist(), rel=1e-12) for name, values in expected.items()
    }


def test_resamples_of_partitions_are_those_of_their_rows() -> None:
    partitions = np.array([f"2013-10-{1 + place:02}" for place in PLACES])
    resampling = Resampling.of_partitions(partitions)
    drawn = draw({"m": SCORERS["ties of many rows"]}, rounds=50, seed=3, resampling=resampling)["m"]
    counts = resampling.counts(np.random.default_rng(3), 50)
    assert resampling.groups is not None
    expected = SCORERS["ties of many rows"].score(counts[:, resampling.groups.places])
    assert drawn["pr_auc"].tolist() == pytest.approx(expected["pr_auc"].tolist(), rel=1e-12)
    assert len(set(drawn["pr_auc"].tolist())) > 40
