"""Kinds of source through the steps: ingested, judged by the raw gate, published, and the same again costs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from deltalake import DeltaTable

from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from include.steps.catalog import load_step
from include.steps.ingest import PartitionNotThere
from include.steps.protocol import Document, StepCall
from tests.lake.delta_world import DAYS, delta_definition, orders, table_folder, write_orders
from tests.lake.factories import write_suites
from tests.lake.join_world import joined_definition, land_all, write

pytestmark = pytest.mark.database
AS_OF = datetime(2024, 1, 4, tzinfo=UTC)
Go = Callable[..., Document]


@pytest.fixture
def settings(stored_settings: Settings) -> Settings:
    """With suites that want at least one row."""
    return write_suites(stored_settings)


def line(settings: Settings, definition: Definition) -> Go:
    """The data steps of a definition: ingest, gate, publish, and what each says as JSON."""
    tries = iter(range(99))

    def step(name: str, **inputs: Any) -> Document:
        call = StepCall(
            settings=settings, definition=definition, as_of=AS_OF, attempt=f"{name}-{next(tries)}", inputs=inputs
        )
        return dict(json.loads(json.dumps(load_step(name)(call))))

    def go(**chosen: Any) -> Document:
        staged = step("ingest", **({"first": DAYS[0], "last": DAYS[-1]} | chosen))
        published = step("publish", gate=step("gate", stage="raw", staged=staged))
        return published | {"unchanged": staged["unchanged"]}

    return go


def raw_rows(settings: Settings) -> list[dict[str, Any]]:
    rows = LakeTable(settings, "orders", "raw").dataset().to_table().to_pylist()
    return sorted(rows, key=lambda row: (row["partition"], row["_row"]))


def test_a_delta_table_is_published_by_its_version(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    go = line(settings, delta_definition())
    assert go()["rows"] == 12
    assert [row["number"] for row in raw_rows(settings)] == [0, 1, 2, 3] * 3
    assert go()["unchanged"] == 3
    write_orders(settings, rows=orders(DAYS[1], count=1, number=[7]))
    published = go()
    assert (published["unchanged"], published["changed"], published["rows"]) == (2, 1, 13)
    history = LakeTable(settings, "orders", "raw").history()
    assert [entry["noria"]["origins"][0][-11:] for entry in history if "noria" in entry] == [
        "(version 3)",
        "(version 2)",
    ]


def test_a_late_partition_of_a_delta_table_is_waited_for(settings: Settings) -> None:
    write_orders(settings, *DAYS[:2])
    with pytest.raises(PartitionNotThere, match=r"the Delta table .*orders \(version 1\) has no row of it"):
        line(settings, delta_definition())(first=DAYS[2])


def test_a_table_that_was_deleted_from_gives_what_it_holds_now(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    go = line(settings, delta_definition())
    go()
    DeltaTable(str(table_folder(settings))).delete("number > 1")
    assert go()["changed"] == 3
    assert [row["number"] for row in raw_rows(settings)] == [0, 1] * 3


def test_joined_rows_are_published_and_a_side_table_that_changes_has_them_made_again(settings: Settings) -> None:
    land_all(settings)
    go = line(settings, joined_definition())
    assert go()["rows"] == 15
    assert [row["region"] for row in raw_rows(settings)][:2] == [None, "arctic"]
    assert go()["unchanged"] == 3
    write(settings, f"weather/{DAYS[2]}.csv", f"hour,rain\n{DAYS[2]} 00:00,8\n")
    published = go()
    assert (published["unchanged"], published["changed"]) == (2, 1)
    assert [row["rain"] for row in raw_rows(settings)][-1] == 8.0


def test_a_side_file_that_has_not_come_is_waited_for_by_name(settings: Settings) -> None:
    land_all(settings)
    (settings.store / "landing" / "shops.csv").unlink()
    with pytest.raises(PartitionNotThere, match=r"there is no file .*shops\.csv \(source\.tables\.shops\)"):
        line(settings, joined_definition())(first=DAYS[2])
