"""Windows of the same season: what lies one, two, … seasons back and is published."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from include.monitoring.window import earlier_seasons
from include.spec.partitions import PartitionCalendar

WEEK = timedelta(days=7)


def test_earlier_weeks_are_whole_and_keep_their_days_over_a_change_of_the_clock() -> None:
    calendar = PartitionCalendar("day", ZoneInfo("America/New_York"), date(2013, 1, 1), None)
    days = calendar.range("2013-02-20", "2013-03-20")
    published = [day.key for day in days if day.key != "2013-03-05"]
    window = [day for day in days if day.key >= "2013-03-19"]
    found = earlier_seasons(calendar, published, window, WEEK, 5)

    assert [[day.key for day in one] for one in found] == [
        ["2013-03-12", "2013-03-13"],
        ["2013-02-26", "2013-02-27"],
        # the week before lacks a day, and the one before that is older than what is published
    ]
