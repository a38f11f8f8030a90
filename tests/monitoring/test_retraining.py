"""Drift starts a retraining once, and again only when the cooldown of data time has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.monitoring.retraining import Answer, Cause, EarlierStart, answer_alarm
from include.spec.definition import Retrain

DAY = timedelta(days=1)
NOW = datetime(2013, 10, 10, tzinfo=UTC)


def ask(
    window_end: datetime = NOW, earlier: list[EarlierStart] | None = None, cause: Cause = "drift", **changes: Any
) -> Answer:
    values: dict[str, Any] = {
        "as_of": window_end,
        "window_end": window_end,
        "champion_version": 1,
        "champion_as_of": NOW - 30 * DAY,
        "rules": Retrain(on_drift=True, cooldown=3 * DAY),
        "earlier": earlier or [],
    }
    return answer_alarm("m", cause, **(values | changes))


def started(days_ago: int, **changes: Any) -> EarlierStart:
    end = NOW - days_ago * DAY
    values: dict[str, Any] = {"as_of": end, "window_end": end, "champion_version": 1, "start_id": "drift-x"}
    return EarlierStart(**(values | changes))


def test_the_first_drift_starts_a_retraining_with_a_name_of_its_own() -> None:
    answer = ask()

    assert answer.retrain
    assert answer.start_id is not None
    assert answer.start_id.startswith("drift-20131010-")
    assert ask().start_id == answer.start_id
    assert ask(NOW + 9 * DAY).start_id != answer.start_id


def test_asking_again_for_the_same_window_gives_the_same_answer_and_the_same_name() -> None:
    assert ask(earlier=[started(0, start_id="drift-first")]) == Answer(
        True, "This check has started this retraining already.", "drift-first"
    )


def test_within_the_cooldown_nothing_is_started() -> None:
    answer = ask(earlier=[started(2)])

    assert not answer.retrain
    assert "the cooldown is 3d of data time" in answer.reason


def test_after_the_cooldown_drift_starts_again() -> None:
    assert ask(earlier=[started(3)]).retrain


def test_the_same_window_at_a_later_as_of_starts_nothing_more() -> None:
    assert not ask(earlier=[started(0, as_of=NOW - DAY)]).retrain


def test_the_same_window_against_a_new_champion_starts_nothing_more() -> None:
    assert not ask(earlier=[started(0)], champion_version=2).retrain


def test_a_check_of_the_past_starts_nothing_after_a_later_start() -> None:
    assert not ask(earlier=[started(-20)]).retrain


def test_a_check_older_than_the_champion_starts_nothing() -> None:
    assert "newer" in ask(champion_as_of=NOW + DAY).reason


def test_a_champion_that_is_trained_as_of_the_check_could_only_be_reproduced() -> None:
    answer = ask(champion_as_of=NOW)

    assert (answer.retrain, answer.start_id) == (False, None)
    assert "could only reproduce it" in answer.reason
    assert ask(champion_as_of=NOW - DAY).retrain


def test_a_definition_may_forbid_it() -> None:
    assert not ask(rules=Retrain(on_drift=False)).retrain


def test_decay_starts_one_too_but_not_when_drift_has_just_started_one() -> None:
    answer = ask(cause="decay")
    assert answer.start_id is not None
    assert answer.start_id.startswith("decay-20131010-")
    assert not ask(cause="decay", earlier=[started(0)]).retrain
    assert not ask(cause="decay", rules=Retrain(on_decay=False)).retrain
    assert ask(cause="decay", rules=Retrain(on_drift=False)).retrain


def test_checks_that_started_nothing_are_no_start() -> None:
    assert EarlierStart.from_details(NOW, {"retrain": False, "window": {"end": None}}) is None


def weekly(limit: int, *days_ago: int) -> Answer:
    rules = Retrain(on_drift=True, cooldown=DAY, at_most_per_week=limit)
    return ask(rules=rules, earlier=[started(days, start_id=f"drift-{days}") for days in days_ago])


def test_the_weekly_limit_holds_back_what_the_cooldown_would_let_through() -> None:
    assert weekly(3, 2, 4).retrain
    answer = weekly(2, 2, 4)

    assert not answer.retrain
    assert answer.reason == (
        "No retraining: checks have started 2 retrainings within seven days of data time already, the last one by data "
        "up to 2013-10-08T00:00:00+00:00, and monitoring.retrain.at_most_per_week is 2."
    )


def test_a_week_later_and_for_a_repeated_check_the_limit_counts_no_start_twice() -> None:
    assert weekly(1, 7).retrain
    twice = [started(2, start_id="drift-2"), started(2, start_id="drift-2")]
    assert ask(rules=Retrain(cooldown=DAY, at_most_per_week=2), earlier=twice).retrain


def test_a_drifting_week_starts_as_many_retrainings_as_its_rules_allow() -> None:
    for rules, expected in (
        (Retrain(cooldown=7 * DAY), 1),
        (Retrain(cooldown=DAY, at_most_per_week=2), 2),
        (Retrain(), 3),
    ):
        earlier: list[EarlierStart] = []
        for day in range(7):
            answer = ask(NOW + day * DAY, earlier, rules=rules)
            if answer.start_id is not None:
                earlier.append(started(-day, start_id=answer.start_id))
        assert len(earlier) == expected
