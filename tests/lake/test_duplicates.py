"""Duplicates at ingest: which row stays, whatever the order of delivery, and what is said of the others."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.lake.paths import from_store
from include.lake.staging import StagedPartition
from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import land, make_definition, stage_raw
from tests.lake.sql_world import DAYS, TYPES, connected, order_rows, run_sql, sql_definition, stage

DAY, NEXT = "2024-01-01", "2024-01-02"
# shop, number, minutes after midnight, price
ORDERS = [
    ("North", 1, 0, 1.0), ("North", 1, 5, 2.0), ("North", 1, 5, 3.0), ("South", 1, 1, 4.0),
    ("North", 2, 9, None), ("North", 2, 9, 5.0), (None, 3, 2, 6.0), (None, 3, 2, 6.0), ("North", None, 2, 7.0),
]  # fmt: skip


def rows_of(orders: list[tuple[Any, ...]], day: str = DAY) -> dict[str, list[Any]]:
    start = datetime.fromisoformat(day)
    return {
        "at": [start + timedelta(minutes=order[2]) for order in orders],
        "shop": [order[0] for order in orders],
        "number": [order[1] for order in orders],
        "price": [order[3] for order in orders],
        "express": [True] * len(orders),
        "days": [1.0] * len(orders),
    }


def definition(**rule: Any) -> Definition:
    return make_definition(clean={"duplicates": rule} if rule else {})


def prices(settings: Settings, staged: StagedPartition) -> list[float | None]:
    assert staged.status == "staged", staged.problem
    found: list[float | None] = pq.read_table(from_store(settings, staged.path or ""))["price"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("rule", "kept", "left_out"),
    [
        ({"keep": "last"}, [4.0, 6.0, 6.0, 7.0, 3.0, 5.0], 3),
        ({"keep": "first"}, [1.0, 4.0, 6.0, 6.0, 7.0, 5.0], 3),
        ({"keep": "last", "order_by": "price"}, [4.0, 6.0, 6.0, 7.0, 3.0, 5.0], 3),
        ({"keep": "first", "order_by": "price"}, [1.0, 4.0, 6.0, 6.0, 7.0, 5.0], 3),
    ],
)
def test_one_row_of_an_entity_stays_whatever_the_order_of_delivery(
    settings: Settings, rule: dict[str, Any], kept: list[float], left_out: int
) -> None:
    digests = set()
    for attempt in range(4):
        orders = random.Random(attempt).sample(ORDERS, len(ORDERS))  # noqa: S311 - a fixed order is wanted
        land(settings, DAY, rows_of(orders))
        land(settings, NEXT, rows_of([("North", 1, 0, 9.0)], NEXT))
        staged = stage_raw(settings, definition(**rule), [DAY, NEXT], attempt=f"try-{attempt}")
        assert sorted(prices(settings, staged[DAY]), key=str) == sorted(kept, key=str)
        assert f"{left_out} of 9 rows were left out as duplicates" in staged[DAY].notes[0]
        assert f"same shop, number the {rule['keep']} by {rule.get('order_by', 'at')} stays" in staged[DAY].notes[0]
        assert prices(settings, staged[NEXT]) == [9.0]
        assert staged[NEXT].notes == ()
        digests.add(staged[DAY].digest)
    assert len(digests) == 1


def test_without_a_rule_all_rows_stay_and_partitions_are_made_from_the_same_as_before(settings: Settings) -> None:
    land(settings, DAY, rows_of(ORDERS))
    staged = stage_raw(settings, definition(), [DAY])[DAY]
    assert (staged.rows, staged.notes) == (9, ())
    ruled = stage_raw(settings, definition(keep="last"), [DAY], attempt="try-2")[DAY]
    assert ruled.inputs != staged.inputs


def test_a_database_is_read_by_the_same_rule(settings: Settings, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    run_sql(url, f"CREATE TABLE orders ({TYPES})", rows=[row for _ in range(2) for row in order_rows(DAYS[0])])
    ruled = sql_definition().model_copy(update={"clean": definition(keep="last").clean})
    found = stage(connected(settings, url), ruled, DAYS[:1])[DAYS[0]]
    assert (found.status, found.rows) == ("staged", 6)  # the two without a shop are nobody's duplicates, twice
    assert found.notes[0].startswith("2 of 8 rows were left out as duplicates")
