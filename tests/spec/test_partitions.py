# ruff: noqa: DTZ001 - local times without zone are the subject here
"""Partitions tile time without gap or overlap, in every zone and over every change of the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar, PartitionError

ZONES = (
    "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Havana",
    "America/St_Johns", "Asia/Kolkata", "Pacific/Apia", "Asia/Beirut", "Africa/Casablanca", "Asia/Kathmandu",
)  # fmt: skip


def calendar(size: str = "day", zone: str = "America/New_York", **dates: date) -> PartitionCalendar:
    return PartitionCalendar(size, ZoneInfo(zone), dates.get("starts", date(2013, 1, 1)), dates.get("ends"))  # type: ignore[arg-type]


calendars = st.builds(calendar, st.sampled_from(["hour", "day", "month"]), st.sampled_from(ZONES))
instants = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(calendars, instants)
@settings(max_examples=200, deadline=None)
def test_every_instant_lies_in_exactly_its_partition(cuts: PartitionCalendar, instant: datetime) -> None:
    partition = cuts.containing(instant)
    assert partition.start <= instant < partition.end
    assert cuts.containing(partition.start) == partition
    assert cuts.containing(partition.end - timedelta(microseconds=1)) == partition
    assert cuts.containing(partition.end).start == partition.end


@given(calendars, instants)
@settings(max_examples=200, deadline=None)
def test_a_key_reads_back_to_its_partition(cuts: PartitionCalendar, instant: datetime) -> None:
    partition = cuts.containing(instant)
    assert cuts.from_key(partition.key) == partition


@given(calendars, instants, st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_partitions_that_cover_a_time_tile_it(cuts: PartitionCalendar, start: datetime, hours: int) -> None:
    end = start + timedelta(hours=hours)
    found = cuts.covering(start, end)
    assert found[0].start <= start < found[0].end
    assert found[-1].start < end <= found[-1].end
    assert all(one.end == following.start for one, following in pairwise(found))
    assert len({partition.key for partition in found}) == len(found)


@given(calendars, instants)
@settings(max_examples=100, deadline=None)
def test_keys_sort_as_time_does(cuts: PartitionCalendar, instant: datetime) -> None:
    partition = cuts.containing(instant)
    assert partition.key < cuts.containing(partition.end).key


@given(calendars, instants)
@settings(max_examples=100, deadline=None)
def test_the_last_complete_partition_ended_and_the_next_has_not(cuts: PartitionCalendar, instant: datetime) -> None:
    if instant < cuts.first.end:
        with pytest.raises(PartitionError, match="no partition was complete"):
            cuts.last_complete(instant)
        return
    last = cuts.last_complete(instant)
    assert last.end <= instant < cuts.containing(last.end).end


def test_days_last_23_and_25_hours_when_the_clock_changes() -> None:
    cuts = calendar()
    spring, autumn = cuts.from_key("2013-03-10"), cuts.from_key("2013-11-03")
    assert (spring.end - spring.start, autumn.end - autumn.start) == (timedelta(hours=23), timedelta(hours=25))
    assert spring.start.isoformat() == "2013-03-10T00:00:00-05:00"
    assert spring.end.isoformat() == "2013-03-11T00:00:00-04:00"


def test_the_hour_that_a_clock_shows_twice_is_two_partitions() -> None:
    cuts = calendar("hour")
    keys = [partition.key for partition in cuts.range("2013-11-03T00", "2013-11-03T02")]
    assert keys == ["2013-11-03T00", "2013-11-03T01", "2013-11-03T01+1", "2013-11-03T02"]
    first, second = cuts.from_key("2013-11-03T01"), cuts.from_key("2013-11-03T01+1")
    assert first.end == second.start
    assert second.start - first.start == timedelta(hours=1)


def test_a_fold_of_half_an_hour_is_a_partition_of_half_an_hour() -> None:
    cuts = calendar("hour", "Australia/Lord_Howe")
    second = cuts.from_key("2013-04-07T01+1")
    assert second.end - second.start == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("size", "zone", "key"),
    [
        ("hour", "America/New_York", "2013-03-10T02"),
        ("hour", "America/New_York", "2013-06-01T01+1"),
        ("day", "Pacific/Apia", "2011-12-30"),
    ],
)
def test_a_time_that_the_clock_never_shows_is_no_partition(size: str, zone: str, key: str) -> None:
    with pytest.raises(PartitionError, match="never shows it"):
        calendar(size, zone).from_key(key)


@pytest.mark.parametrize(
    ("size", "key"),
    [
        ("day", "2013-1-1"), ("day", "2013-02-30"), ("day", "2013-01"), ("day", "2013-01-01\n"), ("day", ""),
        ("day", "../x"), ("day", "٢٠١٣-٠١-٠١"), ("day", "0000-01-01"), ("day", "9999-12-31"),
        ("month", "2013-13"), ("month", "9999-12"), ("hour", "2013-01-01T24"), ("hour", "2013-01-01"),
    ],
)  # fmt: skip
def test_a_malformed_key_is_refused(size: str, key: str) -> None:
    with pytest.raises(PartitionError):
        calendar(size).from_key(key)


def test_a_day_without_midnight_begins_when_its_date_is_first_reached() -> None:
    day = calendar(zone="America/Sao_Paulo").from_key("2013-10-20")
    assert day.start.isoformat() == "2013-10-20T01:00:00-02:00"
    assert day.end - day.start == timedelta(hours=23)


def test_ranges_are_inclusive_and_refuse_to_run_backwards() -> None:
    cuts = calendar()
    assert [p.key for p in cuts.range("2013-02-27", "2013-03-01")] == ["2013-02-27", "2013-02-28", "2013-03-01"]
    with pytest.raises(PartitionError, match="swap them"):
        cuts.range("2013-03-02", "2013-03-01")
    with pytest.raises(PartitionError, match="shorter range"):
        calendar("hour").range("1980-01-01T00", "2020-01-01T00")


def test_an_archive_has_an_end_beyond_which_nothing_is_complete() -> None:
    cuts = calendar(ends=date(2013, 12, 31))
    assert cuts.end_of_data is not None
    assert cuts.end_of_data.isoformat() == "2014-01-01T00:00:00-05:00"
    assert cuts.last_complete(datetime(2026, 11, 22, tzinfo=UTC)).key == "2013-12-31"
    assert calendar().end_of_data is None


def test_the_calendar_of_a_definition_knows_its_first_partition_and_local_time(load: Callable[..., Definition]) -> None:
    cuts = PartitionCalendar.of(load())
    assert cuts.first.key == "2013-01-01"
    assert cuts.local(datetime(2013, 7, 1, 4, tzinfo=UTC)) == datetime(2013, 7, 1)


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        calendar().containing(datetime(2013, 1, 1))
