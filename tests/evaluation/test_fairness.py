"""Only rows that the champion has never seen count, and only if they are enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from include.evaluation.fairness import (
    Fairness,
    WindowsUnknown,
    judge_fairness,
    judge_places,
    seen_places,
    seen_windows,
    split_otherwise,
)

START = datetime(2013, 9, 1)  # noqa: DTZ001 - local time
HOURS = 1000


def judge(first: int, last: int, labels: np.ndarray | None = None, task: str = "binary_classification") -> Fairness:
    """Fairness when the champion has seen the hours first..last of a holdout of 1000 hours."""
    times = np.datetime64(START) + np.arange(HOURS) * np.timedelta64(1, "h")
    seen = [(START + timedelta(hours=first), START + timedelta(hours=last))]
    labels = np.tile([0.0, 1.0], HOURS // 2) if labels is None else labels
    return judge_fairness(task, times, labels, seen, version=3)  # type: ignore[arg-type]


def test_a_champion_trained_on_other_days_meets_the_challenger_on_all_rows() -> None:
    fairness = judge(-500, 0)

    assert (fairness.status, fairness.reason) == ("fair", None)
    assert fairness.usable.all()


def test_rows_that_the_champion_has_seen_are_left_out_and_counted() -> None:
    fairness = judge(-500, 700)

    assert fairness.status == "part"
    assert fairness.usable.sum() == 300
    assert "700 of the 1,000 holdout rows" in str(fairness.reason)
    assert "other 300" in str(fairness.reason)


def test_the_end_of_a_window_is_not_part_of_it() -> None:
    assert judge(-500, 1).usable.tolist()[:2] == [False, True]


def test_too_few_unseen_rows_make_the_comparison_unfair() -> None:
    fairness = judge(0, 950)

    assert fairness.status == "unfair"
    assert "the other 50 are fewer than the 100" in str(fairness.reason)


def test_unseen_rows_of_one_class_make_the_comparison_unfair() -> None:
    labels = np.zeros(HOURS)
    labels[:500] = 1

    assert "hold only 0 of a class" in str(judge(0, 600, labels).reason)
    assert judge(0, 600, labels, task="regression").status == "part"


def test_train_and_validation_windows_are_seen_and_the_holdout_is_not() -> None:
    span = {"start": "2013-06-01T00:00:00-04:00", "end": "2013-09-01T00:00:00-04:00"}
    found = seen_windows(1, {"train": span, "validation": span, "holdout": span})

    assert [window.part for window in found] == ["train", "validation"]


@pytest.mark.parametrize(
    "windows",
    [
        {},
        {"train": {"start": "2013-06-01T00:00:00-04:00"}},
        {part: {"start": "2013-06-01T00:00:00", "end": "2013-07-01T00:00:00"} for part in ("train", "validation")},
        {"train": None},
    ],
)
def test_a_champion_whose_windows_are_unknown_is_an_error_not_a_fair_comparison(windows: dict[str, Any]) -> None:
    with pytest.raises(WindowsUnknown, match="champion version 4"):
        seen_windows(4, windows)


def shares(holdout: int, validation: int, by: str = "patient") -> dict[str, dict[str, str]]:
    """Registered windows of a version without time; shares in percent."""
    edges = {
        "holdout": (0, holdout),
        "validation": (holdout, holdout + validation),
        "train": (holdout + validation, 100),
    }
    return {part: {"start": f"{start}%", "end": f"{end}%", "by": by} for part, (start, end) in edges.items()}


def judge_split(champion: dict[str, Any], holdout: int, by: str = "patient") -> Fairness:
    """Fairness on a holdout of the first places, one row in each."""
    places = np.arange(holdout * 100)
    return judge_places("binary_classification", places, np.tile([0.0, 1.0], holdout * 50), champion, by=by, version=3)


@pytest.mark.parametrize(("holdout", "validation"), [(20, 15), (20, 40), (30, 10)])
def test_rows_without_time_are_fair_if_the_champion_held_them_out_too(holdout: int, validation: int) -> None:
    fairness = judge_split(shares(holdout, validation), 20)
    assert (fairness.status, fairness.reason) == ("fair", None)
    assert fairness.usable.all()


def test_with_a_larger_holdout_only_the_champions_own_part_of_it_counts() -> None:
    fairness = judge_split(shares(15, 15), 40)
    assert fairness.status == "part"
    assert np.flatnonzero(fairness.usable).tolist() == list(range(1500))
    assert "trained or validated on 2,500 of the 4,000 holdout rows" in str(fairness.reason)


def test_a_champion_that_held_hardly_anything_out_is_not_compared() -> None:
    champion = shares(20, 15)
    champion["validation"]["start"] = "0.5%"
    assert "the other 50 are fewer than the 100" in str(judge_split(champion, 20).reason)


@pytest.mark.parametrize(
    ("champion", "was"),
    [
        (shares(20, 15, by="name, patient"), "name, patient"),
        (
            {part: {"start": "2013-01-01T00:00:00Z", "end": "2013-02-01T00:00:00Z"} for part in shares(1, 1)},
            "event time",
        ),
    ],
)
def test_a_champion_whose_rows_were_split_by_something_else_is_not_compared(champion: dict[str, Any], was: str) -> None:
    fairness = judge_split(champion, 20)
    assert (fairness.status, fairness.usable.any()) == ("unfair", False)
    assert was in str(fairness.reason)
    assert "are split by patient" in str(fairness.reason)


def test_a_champion_without_time_is_not_compared_on_rows_with_time() -> None:
    fairness = split_otherwise(7, version=3, was="patient")
    assert (fairness.status, fairness.usable.shape, fairness.usable.any()) == ("unfair", (7,), False)
    assert "these are split by their event time" in str(fairness.reason)


@pytest.mark.parametrize("broken", ["", "15", "-1%", "101%", "a%"])
def test_shares_that_cannot_be_read_are_an_error_with_the_version(broken: str) -> None:
    champion = shares(20, 15)
    champion["train"]["start"] = broken
    with pytest.raises(WindowsUnknown, match="champion version 4"):
        seen_places(4, champion)
    with pytest.raises(WindowsUnknown, match="champion version 4"):
        seen_places(4, {})
