"""Values of the past: equal to brute force, known at the time, and the same whatever order the rows lie in."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from include.features.history import history_digest
from include.spec.histories import history_of
from include.spec.partitions import Partition, PartitionCalendar
from tests.features.pasts import Row, brute_force, computed, history_definition, past_over, row

# Both changes of New York's clock in 2024, and a plain week.
BEGINNINGS = [
    datetime(2024, 3, 8, 5, tzinfo=UTC),
    datetime(2024, 11, 1, 4, tzinfo=UTC),
    datetime(2024, 6, 1, tzinfo=UTC),
]
NUMBERS = some.one_of(
    some.none(), some.sampled_from([0.1, 0.2, 0.3, -0.0, 1e-7, 2.5]), some.floats(-1e6, 1e6), some.just(1e300)
)


@some.composite
def worlds(draw: Any) -> tuple[Any, dict[str, list[Row]], list[Partition]]:
    """A definition, rows of some partitions (others are missing), and all partitions around them."""
    size = draw(some.sampled_from(["hour", "day"]))
    over, known = draw(
        some.sampled_from(
            [("3h", "0s"), ("5h", "90m"), ("1d", "2h"), ("1d", "1d")]
            if size == "hour"
            else [("1d", "0s"), ("3d", "1d"), ("4d", "30h"), ("2d", "2d")]
        )
    )
    by = draw(some.sampled_from([["shop"], [], ["shop", "express"]]))
    definition = history_definition(partition=size, over=over, known_after=known, by=by)
    calendar = PartitionCalendar.of(definition)
    begin = draw(some.sampled_from(BEGINNINGS)) + timedelta(hours=draw(some.integers(0, 40)) if size == "hour" else 0)
    partitions = calendar.covering(begin, begin + timedelta(days=6 if size == "day" else 1))
    rows: dict[str, list[Row]] = {}
    for one in partitions:
        if not draw(some.integers(0, 4)):
            continue
        local = calendar.local(one.start)
        rows[one.key] = [
            row(
                number,
                local + timedelta(minutes=draw(some.integers(0, 50))),
                draw(some.sampled_from(["North", "South", "West", None])),
                draw(NUMBERS),
                draw(some.sampled_from([None, 1.0, 2.0, 3.0])),
            )
            | {"express": draw(some.booleans())}
            for number in range(draw(some.integers(0, 4)))
        ]
    return definition, rows, partitions


def bits(value: Any) -> Any:
    return struct.pack("d", value) if isinstance(value, float) else value


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_values_are_those_of_brute_force_to_the_bit(world: Any) -> None:
    definition, rows, partitions = world
    past = past_over(definition, rows)
    found = computed(past, partitions)
    expected = {
        (one.key, *key): values for one in partitions for key, values in brute_force(past.history, rows, one).items()
    }
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        assert {name: bits(value) for name, value in found[place].items()} == {
            name: bits(value) for name, value in values.items()
        }, place


@settings(max_examples=20, deadline=None)
@given(worlds())
def test_nothing_is_used_before_it_is_known(world: Any) -> None:
    definition, rows, partitions = world
    past = past_over(definition, rows)
    calendar, hour = PartitionCalendar.of(definition), timedelta(hours=1)
    for one in partitions:
        for key in past.windows.past_of(one):
            tile = calendar.from_key(key)
            # Whole days are days of the calendar, one of which has 23 hours.
            assert tile.end + past.history.known_after <= one.start + (
                hour if past.history.known_after.days else 0 * hour
            )
            assert tile.end <= one.start


def test_a_mean_is_the_same_in_whatever_order_and_on_however_many_threads() -> None:
    definition = history_definition()
    draw = random.Random(3)  # noqa: S311
    at = datetime.fromisoformat("2024-06-01T12:00")
    prices = [draw.choice([1e12, 0.1, -1e12, 1e-3, 3.3]) * draw.random() for _ in range(3000)]
    day = PartitionCalendar.of(definition).from_key("2024-06-02")
    seen = set()
    for threads in (1, 2, 4):
        draw.shuffle(prices)
        rows = {"2024-06-01": [row(number, at, "North", price) for number, price in enumerate(prices)]}
        values = computed(past_over(definition, rows), [day], threads=threads)[("2024-06-02", "North")]
        seen.add((bits(values["recent_mean_price"]), bits(values["recent_turnover"])))
    assert len(seen) == 1


def test_a_day_sees_whole_days_that_were_known_at_its_start_and_no_other() -> None:
    definition = history_definition(over="2d", known_after="1d")
    keys = [f"2024-06-0{day}" for day in range(1, 7)]
    rows = {key: [row(0, datetime.fromisoformat(key), "North")] for key in keys if key != "2024-06-03"}
    past = past_over(definition, rows)
    calendar = PartitionCalendar.of(definition)
    assert past.windows.past_of(calendar.from_key("2024-06-06")) == ["2024-06-04"]  # the third is missing, not replaced
    assert past.windows.past_of(calendar.from_key("2024-06-05")) == ["2024-06-02"]
    assert past.windows.past_of(calendar.from_key("2024-06-01")) == []


def test_days_of_23_and_25_hours_are_days() -> None:
    definition = history_definition(over="1d")
    rows = {key: [row(0, datetime.fromisoformat(key), "North")] for key in ("2024-03-10", "2024-11-03")}
    past = past_over(definition, rows)
    calendar = PartitionCalendar.of(definition)
    assert past.windows.past_of(calendar.from_key("2024-03-11")) == ["2024-03-10"]
    assert past.windows.past_of(calendar.from_key("2024-11-04")) == ["2024-11-03"]


def test_the_newest_row_gives_the_last_value_and_its_number_decides_ties() -> None:
    definition = history_definition()
    at = datetime.fromisoformat("2024-06-01T12:00")
    rows = {"2024-06-01": [row(2, at, "N", 7.0), row(0, at, "N", 9.0), row(1, at, "N", 8.0), row(3, at, "N", None)]}
    day = PartitionCalendar.of(definition).from_key("2024-06-02")
    assert computed(past_over(definition, rows), [day])[("2024-06-02", "N")]["recent_last_price"] == 7.0


def test_partitions_can_be_answered_as_long_as_their_past_is_there() -> None:
    definition = history_definition(known_after="1d")
    rows = {key: [row(0, datetime.fromisoformat(key), "N")] for key in ("2024-06-01", "2024-06-02")}
    past = past_over(definition, rows)
    found = [one.key for one in past.windows.answerable(before=2, ahead=9)]
    # The fourth needs no more than the second; for the fifth the third must be there.
    assert found == ["2024-06-01", "2024-06-02", "2024-06-03", "2024-06-04"]
    at_once = history_of(history_definition(), "recent")
    assert at_once is not None
    assert [one.key for one in past_over(history_definition(), rows).windows.answerable(before=1, ahead=9)] == [
        "2024-06-02",
        "2024-06-03",
    ]


def test_values_read_cleaned_columns_and_a_changed_cleaning_is_another_declaration() -> None:
    plain = history_definition()
    cleaned = history_definition(clean={"columns": {"price": {"null_if": "price < 0"}}})
    at = datetime.fromisoformat("2024-06-01T12:00")
    rows = {"2024-06-01": [row(0, at, "N", 7.0), row(1, at, "N", -1.0)]}
    day = PartitionCalendar.of(plain).from_key("2024-06-02")
    found = [
        computed(past_over(one, rows), [day])[("2024-06-02", "N")]["recent_last_price"] for one in (plain, cleaned)
    ]
    assert found == [-1.0, 7.0]
    digests = {history_digest(past_over(one, rows).history) for one in (plain, cleaned)}
    assert len(digests) == 2
