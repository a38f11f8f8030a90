"""A backtest's sentences say what its figures say, also where nothing could be known."""

from __future__ import annotations

from typing import Any

import pytest

from include.reports.backtest_page import to_markdown
from include.reports.backtest_story import between, conclusions, surely


def change(value: float, width: float = 0.01) -> dict[str, Any]:
    """An estimate with an interval."""
    return {"value": value, "low": value - width, "high": value + width}


def window(name: str, **changes: Any) -> dict[str, Any]:
    """A calm window in which all models are equally good."""
    return {
        "name": name,
        "rows": 1000,
        "quality": {part: change(0.7) for part in ("loop", "never", "always")},
        "against": {part: change(0.0) for part in ("never", "always")},
        "hindsight": None,
        "drift": {"verdict": "no drift", "reason": "None of 3 features has drifted.", "features": []},
        "decay": {"verdict": "no decay", "reason": "No worse.", "change": None},
        "started": None,
        "started_reason": "",
        "retraining": None,
    } | changes


def judged(verdict: str) -> dict[str, Any]:
    """A retraining and what became of it."""
    return {"verdict": verdict, "reason": "…", "version": 2, "metric": "Log loss", "improvement": change(-0.02)}


def report(*windows: dict[str, Any]) -> dict[str, Any]:
    """A report of these windows."""
    return {
        "model": "late",
        "metric": {"name": "roc_auc", "title": "ROC AUC"},
        "higher_is_better": True,
        "confidence": 0.95,
        "every": "month",
        "first": {
            "as_of": "2013-04-01T00:00:00-04:00",
            "rows": {"train": 5000},
            "windows": {"train": {"start": "2013-01-01T00:00:00-05:00"}},
            "passed": True,
            "reason": "",
        },
        "windows": list(windows),
        "over_all": {
            "rows": 1000 * len(windows),
            **{part: change(0.7) for part in ("loop", "never", "always")},
            "against": {"never": change(0.05), "always": change(-0.05)},
        },
    }


def test_windows_without_anything_say_so() -> None:
    said = conclusions(report(window("2013-04"), window("2013-05")))

    assert "In none of 2 windows did the data drift from what the champion knew." in said
    assert "Labels show no decay in 2 windows that could be judged." in said
    assert "No check started a retraining." in said
    assert any("better than never training again" in one for one in said)
    assert any("worse than each new training" in one for one in said)


def test_a_challenger_that_lost_is_held_against_what_came_after() -> None:
    lost = window(
        "2013-04",
        started="decay-1",
        retraining=judged("keep"),
        decay={"verdict": "decay", "reason": "", "change": None},
    )
    right = conclusions(report(lost, window("2013-05", hindsight=change(-0.03))))
    wrong = conclusions(report(lost, window("2013-05", hindsight=change(0.03))))

    assert "Checks started 1 retraining (1 by decay): 1 lost." in right
    assert (
        "Of 1 challenger that lost, 1 would have been worse than the champion of before in the window that followed "
        "(1 beyond chance)." in right
    )
    assert (
        "A new training at the window's start would have hurt in 1 of 1: 2013-05 (-0.030); the loop kept its champion "
        "in 1 of them (2013-05)." in right
    )
    assert any("In 2013-05 the decision was wrong beyond chance." in one for one in wrong)
    assert "A new training would have hurt in none of 1 window." in wrong


def test_a_worse_model_that_was_let_in_is_said() -> None:
    won = window("2013-04", started="drift-1", retraining=judged("promote"))
    said = conclusions(report(won, window("2013-05", hindsight=change(-0.03))))

    assert any("and let the worse model in in 2013-05" in one for one in said)


def test_without_labels_nothing_is_said_of_quality() -> None:
    unknown = {"verdict": "not enough data", "reason": "", "change": None}
    blind = report(window("2013-04", quality=None, rows=0, decay=unknown)) | {"over_all": {}}

    assert "Of no window were enough labels known to judge the champion's answers." in conclusions(blind)
    assert "| 2013-04 | – | – | – | – |" in to_markdown({**blind, "conclusions": conclusions(blind)})


@pytest.mark.parametrize(
    ("estimate", "sure", "words"),
    [
        (change(0.02), 1, "+0.020 [+0.010, +0.030]"),
        (change(-0.02), -1, "-0.020 [-0.030, -0.010]"),
        (change(0.005), 0, "+0.005 [-0.005, +0.015]"),
        ({"value": 0.1, "low": None, "high": None}, 0, "+0.100"),
        (None, 0, "–"),
    ],
)
def test_a_change_is_sure_if_its_interval_is_on_one_side(
    estimate: dict[str, Any] | None, sure: int, words: str
) -> None:
    assert (surely(estimate), between(estimate)) == (sure, words)
