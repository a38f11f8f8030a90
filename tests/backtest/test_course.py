"""How a history is cut into windows."""

from __future__ import annotations

from typing import Any

import pytest

from include.backtest.course import BacktestNeedsTime, BadEvery, NoWindow, partitions_of, plan_backtest
from include.backtest.scratch import BadChange, with_changes
from include.settings import Settings
from include.spec.loader import DefinitionError, find_definition
from include.spec.partitions import PartitionCalendar
from include.spec.windows import NotEnoughPast
from tests.training.factories import make_definition


def archive(ends: str = "2013-04-15", **changes: Any) -> Any:
    """Data of New York from January on."""
    return make_definition(source={"ends": ends}, **changes)


def test_months_begin_with_the_first_that_has_enough_past_and_end_with_the_last_whole_one() -> None:
    course = plan_backtest(archive())

    assert course.since.isoformat() == "2013-02-01T00:00:00-05:00"
    assert [window.name for window in course.windows] == ["2013-02", "2013-03"]
    assert course.windows[-1].end.isoformat() == "2013-04-01T00:00:00-04:00"
    assert (course.first, course.last) == ("2013-01-15", "2013-03-31")


def test_a_window_holds_its_own_days_over_a_change_of_the_clock() -> None:
    definition = archive()
    week = plan_backtest(definition, since="2013-03-07", until="2013-03-20", every="week").windows

    assert [one.name for one in week] == ["2013-03-07..2013-03-13"]
    days = partitions_of(PartitionCalendar.of(definition), week[0])
    assert [days[0].key, days[-1].key, len(days)] == ["2013-03-07", "2013-03-13", 7]


@pytest.mark.parametrize("every", ["fortnight", "12h", "36h", "0d"])
def test_a_length_that_is_no_number_of_days_is_refused(every: str) -> None:
    with pytest.raises(BadEvery, match="write month, week, day"):
        plan_backtest(archive(), every=every)


def test_what_has_no_whole_window_or_too_little_past_is_refused() -> None:
    with pytest.raises(NoWindow, match="no whole month"):
        plan_backtest(archive(ends="2013-02-20"))
    with pytest.raises(NotEnoughPast):
        plan_backtest(archive(), since="2013-01-05")


def test_data_without_time_is_refused(settings: Settings) -> None:
    with pytest.raises(BacktestNeedsTime, match="has no event_time"):
        plan_backtest(find_definition(settings, "tumor_malignant"))


def test_changes_of_the_definition_are_checked_as_the_definition_is(settings: Settings) -> None:
    changed = with_changes(settings, "flight_delay", ["training.shortest_window=45d", "alerts.on=[decay]"])

    assert find_definition(changed, "flight_delay").training.shortest_window.days == 45  # type: ignore[union-attr]
    assert find_definition(changed, "flight_delay").features == find_definition(settings, "flight_delay").features
    with pytest.raises(DefinitionError, match="shortest_windows"):
        find_definition(with_changes(settings, "flight_delay", ["training.shortest_windows=45d"]), "flight_delay")
    with pytest.raises(BadChange, match="changes no key"):
        with_changes(settings, "flight_delay", ["training"])
    assert with_changes(settings, "flight_delay", []) is settings
