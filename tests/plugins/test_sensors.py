"""Waiting for data: what is waited for, how long, and without blocking the triggerer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow._shared.module_loading import import_string

from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.partitions import PartitionCalendar
from include.spec.windows import needed_partitions
from include.steps.waiting import missing_partitions as missing_partitions_of
from include.steps.waiting import source_file
from plugins.sensors.partitions import patience, shown
from plugins.sensors.triggers import CheckFailed, FileTrigger, PublishedPartitionsTrigger, missing_partitions

NONE = timedelta(0)


@pytest.fixture
def archive(settings: Settings) -> Definition:
    return find_definition(settings, "flight_delay")


@pytest.fixture
def living(archive: Definition) -> Definition:
    return archive.model_copy(update={"source": archive.source.model_copy(update={"ends": None})})


@pytest.fixture
def without_time(settings: Settings) -> Definition:
    return find_definition(settings, "tumor_malignant")


def now(**ago: float) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


def test_a_day_of_an_archive_is_not_waited_for(archive: Definition) -> None:
    assert patience(archive, now(), None) == NONE


def test_the_newest_day_of_a_living_source_is_waited_for(living: Definition) -> None:
    assert patience(living, now(hours=2), None) == timedelta(hours=3)


def test_a_day_of_the_past_is_not_waited_for(living: Definition) -> None:
    assert patience(living, now(days=9), None) == NONE


def test_a_delivery_without_time_is_waited_for_by_a_run_of_today_and_not_by_one_of_the_past(
    without_time: Definition,
) -> None:
    calendar = PartitionCalendar.of(without_time)
    for ago, expected in ((timedelta(hours=2), timedelta(hours=3)), (timedelta(hours=4), NONE)):
        as_of = datetime.now(UTC) - ago
        assert patience(without_time, calendar.last_complete(as_of).end, None) == expected
        assert patience(without_time, calendar.due("all", as_of), None) == expected


def test_the_form_overrules(archive: Definition, living: Definition) -> None:
    assert patience(archive, now(days=900), 5) == timedelta(minutes=5)
    assert patience(living, now(), 0) == NONE


def test_long_lists_of_days_are_shortened_in_messages() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown([str(n) for n in range(40)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8 … 39 (40 in all)"


def test_the_source_file_of_a_partition(settings: Settings, archive: Definition) -> None:
    assert source_file(settings, archive, "2013-10-05") == settings.store / "landing/flights/2013-10-05.parquet"


async def first_event(trigger: FileTrigger | PublishedPartitionsTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def until(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_the_file_trigger_fires_when_the_file_comes(tmp_path: Path) -> None:
    file = tmp_path / "2013-10-05.parquet"

    async def scene() -> Any:
        waiting = asyncio.create_task(first_event(FileTrigger(str(file), until(30), poll_seconds=0.05)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        file.touch()
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(scene()) == {"arrived": True}


def test_the_file_trigger_ends_when_time_is_up(tmp_path: Path) -> None:
    trigger = FileTrigger(str(tmp_path / "never"), until(0.1), poll_seconds=0.05)
    assert asyncio.run(first_event(trigger)) == {"arrived": False}


def test_looking_for_published_partitions_names_what_is_missing_and_does_not_block_the_loop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_HOME", str(settings.home))
    trigger = PublishedPartitionsTrigger("flight_delay", "2014-01-01T00:00:00-05:00", until(0), poll_seconds=0.1)

    async def scene() -> tuple[Any, float, float]:
        looking = asyncio.create_task(first_event(trigger))
        longest, loop = 0.0, asyncio.get_running_loop()
        start = loop.time()
        while not looking.done():
            before = loop.time()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before)
        return looking.result(), longest, loop.time() - start

    event, longest, whole = asyncio.run(scene())
    needed = needed_partitions(find_definition(settings, "flight_delay"), datetime(2014, 1, 1, 5, tzinfo=UTC))
    assert event["missing"] == [partition.key for partition in needed]
    assert longest < whole / 2, "the loop went on turning while the look was made"


def test_a_failed_look_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_HOME", str(settings.home))
    with pytest.raises(CheckFailed, match="no_such_model"):
        missing_partitions("no_such_model", "2014-01-01T00:00:00-05:00")


def test_the_triggerer_makes_the_triggers_again_from_what_they_serialize() -> None:
    for trigger in (FileTrigger("/a", until(1), 2.0), PublishedPartitionsTrigger("m", "t", until(1), 3.0)):
        path, arguments = trigger.serialize()
        again = import_string(path)(**arguments)
        assert again.serialize() == (path, arguments)


def test_a_delivery_without_time_is_missing_until_one_is_published(
    settings: Settings, without_time: Definition
) -> None:
    as_of = datetime.now(UTC)
    assert missing_partitions_of(settings, without_time, as_of) == ["all"]
    assert source_file(settings, without_time, "all") == settings.store / "landing/tumors.csv"
