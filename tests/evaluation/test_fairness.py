"""Only rows that the champion has never seen count, and only if they are enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from include.evaluation.fairness import Fairness, WindowsUnknown, judge_fairness, seen_windows

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
