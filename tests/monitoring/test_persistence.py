"""Drift that stays: so many of the last windows of one champion, and the newest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.monitoring.persistence import Lasting, judge_persistence, trend_of
from include.spec.definition import Persistence

END = datetime(2013, 2, 10, tzinfo=UTC)


def window(days: int, drifted: bool, version: int = 1) -> dict[str, Any]:
    return details(days, "drift" if drifted else "no drift", champion_version=version)


def lasting(verdict: Any, *earlier: dict[str, Any], of: int = 3, drifted: int = 2) -> Lasting:
    rule = Persistence(of=of, drifted=drifted)
    return judge_persistence(verdict, end=END, champion_version=1, earlier=earlier, rule=rule)


def test_one_drifted_window_may_pass() -> None:
    found = lasting("drift", window(1, False), window(2, False))

    assert found.verdict == "no drift"
    assert "1 of the last 3 windows drifted; monitoring.drift.persistence asks for 2 of 3" in found.reason


def test_two_of_the_last_three_stay_in_whatever_order_they_were_checked() -> None:
    assert lasting("drift", window(2, True), window(1, False)).verdict == "drift"
    assert lasting("drift", window(3, True), window(2, False), window(1, False)).verdict == "no drift"


def test_the_newest_window_must_have_drifted() -> None:
    assert lasting("no drift", window(1, True), window(2, True)) == Lasting("no drift", "")
    assert lasting("not enough data", window(1, True), window(2, True)).verdict == "not enough data"


def test_later_windows_repeated_checks_and_other_champions_do_not_count() -> None:
    assert lasting("drift", window(-1, True), window(0, True), window(1, True, version=2)).verdict == "no drift"
    assert lasting("drift", window(1, False), window(1, True)).verdict == "no drift"


def test_without_a_rule_each_window_decides() -> None:
    assert lasting("drift", of=1, drifted=1) == Lasting("drift", "")


def details(days: int, verdict: str = "drift", **changes: Any) -> dict[str, Any]:
    end = (END - timedelta(days=days)).isoformat()
    features = [{"name": "far", "size": 0.1, "limit": 0.05}]
    return {
        "window_verdict": verdict, "champion_version": 1, "window": {"end": end}, "features": features,
    } | changes  # fmt: skip


def test_the_trend_is_of_this_champions_judged_windows_oldest_first() -> None:
    older = {"verdict": "drift", "champion_version": 1, "window": {"end": END.isoformat()}}
    others = [details(-1), details(1, "no drift"), details(3, champion_version=2), details(2), older]
    found = trend_of(details(0), others)

    assert [one["verdict"] for one in found] == ["drift", "no drift", "drift"]
    assert found[0]["features"] == {"far": [0.1, 0.05]}
    assert trend_of(details(0, "not enough data"), others) == []
