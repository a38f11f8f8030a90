"""Routing is sticky, gives each challenger its share, and takes no entity away from a share that grows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from include.serving.routing import BUCKETS, bucket, entity_key, entity_keys, threshold

KEYS = [entity_key({"flight": "integer"}, {"flight": number}) or "" for number in range(10_000)]


def answered_by_challenger(share: float, *, model: str = "m", version: int = 2) -> set[str]:
    return {key for key in KEYS if bucket(model, version, key) < threshold(share)}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_challenger_gets_its_share_of_ten_thousand_entities(share: float) -> None:
    # Four standard deviations of a binomial with 10,000 draws; the hash is fixed, so this never changes.
    tolerance = 4 * (share * (1 - share) / len(KEYS)) ** 0.5
    assert abs(len(answered_by_challenger(share)) / len(KEYS) - share) < tolerance


def test_nobody_at_share_0_and_everybody_at_share_1() -> None:
    assert answered_by_challenger(0.0) == set()
    assert answered_by_challenger(1.0) == set(KEYS)


def test_growing_share_keeps_the_entities_that_it_had() -> None:
    shares = [answered_by_challenger(share) for share in (0.1, 0.25, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(shares))


def test_every_challenger_meets_other_entities_first() -> None:
    second, third = answered_by_challenger(0.1), answered_by_challenger(0.1, version=3)
    assert 50 < len(second & third) < 150
    assert len(second & answered_by_challenger(0.1, model="n")) < 150


def test_buckets_are_the_documented_hash() -> None:
    assert bucket("flight_delay", 7, '["UA",1545]') == 6498
    assert all(0 <= bucket("m", 1, str(number)) < BUCKETS for number in range(100))


ENTITY = {"carrier": "string", "flight": "integer", "at": "timestamp", "weight": "number"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"flight": 1545}, {"flight": 1545.0}),
        ({"weight": 2}, {"weight": 2.0}),
        ({"weight": 0}, {"weight": -0.0}),
        ({"flight": 0}, {"flight": -0.0}),
        ({"at": "2013-10-01 05:00"}, {"at": "2013-10-01T05:00:00"}),
        ({"at": "2013-10-01T05:00:00Z"}, {"at": "2013-10-01T07:00:00+02:00"}),
        ({"carrier": "UA"}, {"carrier": "UA", "flight": None, "something": "else"}),
    ],
)
def test_writings_of_the_same_entity_have_the_same_key(one: dict[str, object], other: dict[str, object]) -> None:
    assert entity_key(ENTITY, one) == entity_key(ENTITY, other) is not None


@pytest.mark.parametrize("other", ["2013-10-01T09:00:00Z", "2013-10-01T05:00:00-04:00", "2013-10-01 05:00"])
def test_time_with_zone_is_the_local_time_that_the_model_reads(other: str) -> None:
    local = entity_key(ENTITY, {"at": "2013-10-01T05:00:00"}, "America/New_York")
    assert entity_key(ENTITY, {"at": other}, "America/New_York") == local == '[null,null,"2013-10-01T05:00:00",null]'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"carrier": "1"}, {"flight": 1}),
        ({"carrier": "a"}, {"carrier": "b"}),
        ({"at": "2013-10-01T05:00:00"}, {"at": "2013-10-01T05:00:01"}),
        ({"at": "yesterday"}, {"at": "today"}),
    ],
)
def test_other_entities_have_other_keys(one: dict[str, object], other: dict[str, object]) -> None:
    assert entity_key(ENTITY, one) != entity_key(ENTITY, other)


@pytest.mark.parametrize("row", [{}, {"n": 1}, {"flight": None}])
def test_row_without_its_entity_has_no_key(row: dict[str, object]) -> None:
    assert entity_key(ENTITY, row) is None
    assert entity_key({}, {"flight": 1}) is None


@pytest.mark.parametrize("value", ["\ud800", 2**200, float("inf"), "0001-01-01T00:00:00+14:00"])
def test_strange_values_have_a_key_too(value: object) -> None:
    assert entity_key({"x": "timestamp" if isinstance(value, str) else "number"}, {"x": value})


def test_keys_of_many_rows_are_those_of_each_row() -> None:
    entity = {"flight": "integer", "weight": "number", "at": "timestamp", "carrier": "string", "cargo": "boolean"}
    rows = [
        {"flight": 7.0, "weight": -0.0, "at": "2013-10-01T09:00:00Z", "carrier": "UA", "cargo": True},
        {"flight": 2**70, "weight": 10**400, "at": "never", "carrier": "\ud800", "cargo": None},
        {"flight": None, "weight": None, "at": None, "carrier": None, "cargo": None},
        {"flight": True, "weight": 2, "at": 5, "carrier": 3, "cargo": "yes"},
    ]
    columns = [[row[name] for row in rows] for name in entity]
    keys = entity_keys(entity, columns, "America/New_York")
    assert keys == [entity_key(entity, row, "America/New_York") for row in rows]
    assert keys[2] is None
    assert len(set(keys)) == 4
