"""What resamples are made of: whole partitions, days of hours, or rows with the reason why."""

from __future__ import annotations

import numpy as np
import pytest

from include.evaluation.bootstrap import draw, estimates
from include.evaluation.comparison import Judging, compare
from include.evaluation.resampling import FEWEST_GROUPS, Resampling
from include.evaluation.scoring import make_scorer


def days(count: int, rows: int = 30) -> np.ndarray:
    return np.array([f"2013-10-{1 + row % count:02}" for row in range(rows)])


def test_rows_of_a_partition_come_and_go_together() -> None:
    partitions = days(12, rows=100)
    resampling = Resampling.of_partitions(partitions)
    counts = resampling.counts(np.random.default_rng(0), 50)

    assert resampling.groups is not None
    places = resampling.groups.places
    assert counts.shape == (50, 12)
    assert (counts.sum(axis=1) == 12).all()
    assert all(np.unique(places[partitions == day]).size == 1 for day in np.unique(partitions))
    assert np.unique(places).size == 12


def test_partitions_may_lie_in_any_order_and_have_any_size() -> None:
    partitions = np.random.default_rng(1).permutation(np.repeat(days(10, 10), np.arange(1, 11)))
    resampling = Resampling.of_partitions(partitions)

    assert (resampling.unit, resampling.units, resampling.rows) == ("partition", 10, 55)


def test_hours_are_resampled_as_their_days() -> None:
    hours = [f"2013-10-{day:02}T{hour:02}" for day in range(1, 15) for hour in range(24)]
    resampling = Resampling.of_partitions([*hours, "2013-10-14T01+1"])

    assert (resampling.unit, resampling.units) == ("day", 14)


def test_hours_of_too_few_days_are_resampled_as_hours() -> None:
    resampling = Resampling.of_partitions([f"2013-10-{day:02}T{hour:02}" for day in (1, 2) for hour in range(24)])

    assert (resampling.unit, resampling.units, resampling.reason) == ("partition", 48, None)


def test_months_are_partitions_like_others() -> None:
    assert Resampling.of_partitions([f"2013-{month:02}" for month in range(1, 13)]).units == 12


@pytest.mark.parametrize(("count", "words"), [(1, "from 1 partition,"), (FEWEST_GROUPS - 1, "from 9 partitions,")])
def test_too_few_partitions_mean_single_rows_and_the_reason_says_so(count: int, words: str) -> None:
    resampling = Resampling.of_partitions(days(count))

    assert (resampling.unit, resampling.units, resampling.groups) == ("row", 30, None)
    assert words in str(resampling.reason)
    assert "too narrow" in str(resampling.reason)


def test_rows_of_other_partitions_than_the_scorers_are_refused() -> None:
    scorer = make_scorer("regression", np.arange(30.0), np.zeros(30), threshold=0.5, whose="m")
    with pytest.raises(ValueError, match="the same rows"):
        draw({"m": scorer}, rounds=1, seed=0, resampling=Resampling.of_partitions(days(12, rows=31)))


def test_where_a_days_rows_share_their_luck_only_whole_days_give_intervals_that_hold_the_truth() -> None:
    held = {"rows": 0, "days": 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        luck = np.repeat(random.normal(0, 1, 28), 50)
        error = luck + random.normal(0, 1, luck.size)
        scorer = make_scorer("regression", error, np.zeros(error.size), threshold=0.5, whose="m")
        truth = np.sqrt(2) * np.sqrt(2 / np.pi)
        for name, resampling in (
            ("rows", None),
            ("days", Resampling.of_partitions(np.repeat(days(28, 28), 50))),
        ):
            draws = draw({"m": scorer}, rounds=100, seed=seed, resampling=resampling)["m"]
            found = estimates(scorer, draws, confidence=0.95)["mae"]
            held[name] += found.low <= truth <= found.high  # type: ignore[operator]

    assert held["days"] >= 50
    assert held["rows"] < 36


def test_a_comparison_says_how_its_intervals_came_about() -> None:
    judging = Judging(task="regression", threshold=0.5, rounds=100, confidence=0.95, seed=7)
    labels, values = np.arange(30.0), np.arange(30.0) + 1

    assert compare(judging, labels, values, {}, days(15)).resampling.to_document() == {
        "unit": "partition",
        "units": 15,
        "reason": None,
    }
    assert compare(judging, labels, values, {}).resampling.unit == "row"


def test_rows_of_data_without_time_are_drawn_singly_and_no_reason_is_needed() -> None:
    found = Resampling.of_partitions(["all"] * 50)
    assert (found.unit, found.units, found.reason) == ("row", 50, None)
