# ruff: noqa: DTZ001 - local times without zone are the subject here
"""One as_of for a run, and windows that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.spec.as_of import AsOfError, resolve_as_of
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar, PartitionError
from include.spec.windows import NotEnoughPast, first_trainable, needed_partitions, training_windows

Load = Callable[..., Definition]
ARCHIVE = ("2013-01-01", "2013-01-01\n  ends: 2013-12-31")


def resolve(
    definition: Definition, requested: str | None = None, key: str | None = None, end: datetime | None = None
) -> str:
    return resolve_as_of(definition, requested=requested, partition_key=key, data_interval_end=end).isoformat()


def test_what_is_requested_goes_before_the_partition_and_that_before_the_interval(load: Load) -> None:
    definition = load()
    end = datetime(2013, 3, 1, 6, tzinfo=UTC)
    assert resolve(definition, "2013-05-02T12:00:00-04:00", "2013-04-01", end) == "2013-05-02T00:00:00-04:00"
    assert resolve(definition, None, "2013-04-01", end) == "2013-04-02T00:00:00-04:00"
    assert resolve(definition, "", None, end) == "2013-03-01T00:00:00-05:00"


def test_an_instant_is_brought_down_to_the_end_of_a_partition(load: Load) -> None:
    definition = load()
    assert resolve(definition, "2013-05-02T03:59:59Z") == "2013-05-01T00:00:00-04:00"
    assert resolve(definition, "2013-05-02T04:00:00Z") == "2013-05-02T00:00:00-04:00"


def test_after_its_end_an_archive_stays_as_it_was(load: Load) -> None:
    archive = load(ARCHIVE)
    at_the_end = "2014-01-01T00:00:00-05:00"
    assert resolve(archive, "2026-11-22T00:00:00Z") == at_the_end
    assert resolve(archive, None, "2026-11-22") == at_the_end
    assert resolve(archive, None, None, datetime(2026, 11, 22, tzinfo=UTC)) == at_the_end
    assert resolve(archive) == at_the_end
    assert resolve(archive, "2013-10-01T00:00:00-04:00") == "2013-10-01T00:00:00-04:00"


def test_without_anything_and_without_an_end_the_run_is_refused(load: Load) -> None:
    with pytest.raises(AsOfError, match="Give as_of, such as"):
        resolve(load())


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2013-10-01",
        "2013-10-01T00:00:00",
        "2013-13-01T00:00:00Z",
        "{{ ds }}",
        "9999-12-31T23:00:00-05:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_malformed_request_is_refused_with_an_example(text: str, load: Load) -> None:
    with pytest.raises(AsOfError, match="2013-10-01T00:00:00-04:00"):
        resolve(load(), text)


def test_an_instant_before_any_data_is_refused_with_the_first_that_works(load: Load) -> None:
    with pytest.raises(AsOfError, match="2013-01-02T00:00:00-05:00"):
        resolve(load(), "2013-01-01T12:00:00-05:00")
    assert resolve(load(), "2013-01-02T00:00:00-05:00") == "2013-01-02T00:00:00-05:00"


def test_a_partition_key_that_is_none_is_refused(load: Load) -> None:
    with pytest.raises(PartitionError):
        resolve(load(), None, "2013-04-31")


def test_an_interval_without_time_zone_is_refused(load: Load) -> None:
    with pytest.raises(AsOfError, match="no time zone"):
        resolve(load(), None, None, datetime(2013, 3, 1))


@given(moment=st.datetimes(datetime(2013, 1, 3), datetime(2016, 1, 1), timezones=st.just(UTC)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resolving_again_changes_nothing(moment: datetime, load: Load) -> None:
    definition = load(ARCHIVE)
    once = resolve(definition, moment.isoformat())
    assert resolve(definition, once) == once
    assert datetime.fromisoformat(once) <= moment


def test_windows_follow_each_other_and_leave_out_what_is_not_known_yet(load: Load) -> None:
    windows = training_windows(load(), datetime.fromisoformat("2013-10-01T00:00:00-04:00"))
    assert windows.holdout.end.isoformat() == "2013-09-30T00:00:00-04:00"
    assert windows.holdout.start.isoformat() == "2013-09-16T00:00:00-04:00"
    assert windows.validation.end == windows.holdout.start
    assert windows.validation.start.isoformat() == "2013-09-09T00:00:00-04:00"
    assert windows.train.end == windows.validation.start
    assert windows.train.start.isoformat() == "2013-06-11T00:00:00-04:00"


@given(day=st.integers(0, 400))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_of_days_keep_to_midnight_and_need_whole_partitions(day: int, load: Load) -> None:
    definition = load()
    calendar = PartitionCalendar.of(definition)
    as_of = calendar.instant(datetime(2013, 6, 1) + timedelta(days=day))
    windows = training_windows(definition, as_of)
    for window in (windows.train, windows.validation, windows.holdout):
        assert calendar.local(window.start).time() == calendar.local(window.end).time() == datetime(1, 1, 1).time()
    needed = needed_partitions(definition, as_of)
    assert len(needed) == 90 + 7 + 14
    assert (needed[0].start, needed[-1].end) == (windows.train.start, windows.holdout.end)


def test_a_delay_of_the_label_in_hours_is_elapsed_time(load: Load) -> None:
    definition = load(("known_after: 1d", "known_after: 6h"))
    windows = training_windows(definition, datetime.fromisoformat("2013-10-01T00:00:00-04:00"))
    assert windows.holdout.end.isoformat() == "2013-09-30T18:00:00-04:00"
    assert needed_partitions(definition, datetime.fromisoformat("2013-10-01T00:00:00-04:00"))[-1].key == "2013-09-30"


def test_windows_that_reach_before_the_source_are_refused_with_the_first_as_of_that_works(load: Load) -> None:
    definition = load()
    with pytest.raises(NotEnoughPast, match="2013-04-23T00:00:00-04:00"):
        needed_partitions(definition, datetime.fromisoformat("2013-04-22T00:00:00-04:00"))
    assert needed_partitions(definition, first_trainable(definition))[0].key == "2013-01-01"
    assert first_trainable(definition).isoformat() == "2013-04-23T00:00:00-04:00"


def test_partitions_before_the_source_are_left_out_where_some_may_be_missing(load: Load) -> None:
    definition = load(("window: 90d", "window: 90d\n  max_missing_partitions: 1"))
    needed = needed_partitions(definition, datetime.fromisoformat("2013-04-22T00:00:00-04:00"))
    assert (needed[0].key, len(needed)) == ("2013-01-01", 110)
    with pytest.raises(NotEnoughPast):
        needed_partitions(definition, datetime.fromisoformat("2013-04-21T00:00:00-04:00"))


def test_a_young_source_is_trained_on_from_its_start_if_that_is_long_enough(load: Load) -> None:
    definition = load(("window: 90d", "window: 90d\n  shortest_window: 60d"))
    first = first_trainable(definition)
    assert first.isoformat() == "2013-03-24T00:00:00-04:00"
    windows = training_windows(definition, first)
    assert windows.train.start == PartitionCalendar.of(definition).first.start
    assert windows.train.end - windows.train.start >= timedelta(days=60) - timedelta(hours=1)
    assert needed_partitions(definition, first)[0].key == "2013-01-01"
    with pytest.raises(NotEnoughPast, match="2013-03-24T00:00:00-04:00"):
        needed_partitions(definition, datetime.fromisoformat("2013-03-23T00:00:00-04:00"))


def test_a_month_can_be_a_partition(load: Load) -> None:
    definition = load(("partition: day", "partition: month"), ("{partition}.parquet", "x.parquet"))
    needed = needed_partitions(definition, datetime.fromisoformat("2013-10-01T00:00:00-04:00"))
    assert [partition.key for partition in needed] == ["2013-06", "2013-07", "2013-08", "2013-09"]
