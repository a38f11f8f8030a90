"""A source whose rows are joined by a query: what it reads, when a partition is made again, and what is refused."""

from __future__ import annotations

import logging
import re
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.lake.delta_snapshot import NoSuchDeltaTable
from include.lake.paths import from_store
from include.lake.sources import absent_partitions
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings
from tests.lake.delta_world import delta_definition, orders, write_orders
from tests.lake.factories import PASSED, land, make_rows, manifest_of
from tests.lake.join_world import DAYS, QUERY, SHOPS, WEATHER, joined_definition, land_all, write
from tests.lake.sql_world import stage
from tests.object_storage import ObjectStorage, in_bucket


def rows_of(settings: Settings, partition: StagedPartition) -> list[dict[str, Any]]:
    assert partition.path is not None, partition.problem
    return list(pq.read_table(from_store(settings, partition.path)).to_pylist())


def publish(settings: Settings, staged: dict[str, StagedPartition]) -> LakeTable:
    raw = LakeTable(settings, "orders", "raw")
    raw.publish(manifest_of(staged), attempt="try-1", gate=PASSED)
    return raw


def test_the_query_joins_the_partition_with_a_table_for_all_and_one_of_its_own(settings: Settings) -> None:
    land_all(settings)
    write(settings, f"weather/{DAYS[1]}.csv", f"hour,rain\n{DAYS[1]} 00:00,9\n")
    staged = stage(settings, joined_definition())
    assert [staged[day].rows for day in DAYS] == [5, 5, 5]
    found = [(row["number"], row["region"], row["rain"]) for row in rows_of(settings, staged[DAYS[1]])]
    assert found == [(0, None, 9.0), (1, "arctic", 9.0), (2, None, 9.0), (3, "arctic", 9.0), (4, None, 9.0)]


def test_the_same_inputs_give_the_same_rows_in_the_same_order(settings: Settings) -> None:
    land_all(settings)
    first = {key: one.digest for key, one in stage(settings, joined_definition()).items()}
    write(settings, "shops.csv", "name,region\nEast,orient\nNorth,arctic\n")
    turned = QUERY.replace("source o LEFT JOIN shops s", "shops s RIGHT JOIN source o")
    again = stage(settings, joined_definition(query=turned), attempt="try-2")
    assert {key: one.digest for key, one in again.items()} == first


def test_a_partition_is_made_again_when_one_of_its_inputs_or_the_query_changes(
    stored_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, definition = stored_settings, joined_definition()
    land_all(settings)
    raw = publish(settings, stage(settings, definition))
    origins = raw.history()[0]["noria"]["origins"]
    assert len(origins) == 7
    assert any(re.fullmatch(rf"{settings.store}/landing/shops\.csv \(digest [0-9a-f]{{16}}\)", one) for one in origins)

    def states(**changes: Any) -> list[str]:
        staged = stage(settings, joined_definition(**changes), attempt="try-2")
        return [staged[day].status for day in DAYS]

    with monkeypatch.context() as patched:
        patched.setattr("include.lake.joined_source.open_duckdb", None)  # nothing is read
        assert states() == ["unchanged"] * 3
    write(settings, f"weather/{DAYS[1]}.csv", f"hour,rain\n{DAYS[1]} 00:00,7\n")
    assert states() == ["unchanged", "staged", "unchanged"]
    assert states(query=f"{QUERY} WHERE o.number >= 0") == ["staged"] * 3
    write(settings, "shops.csv", "name,region\nNorth,polar\n")
    assert states() == ["staged"] * 3


def test_several_files_by_a_pattern_are_one_table(settings: Settings) -> None:
    land_all(settings)
    write(settings, "shops/north.csv", "name,region\nNorth,arctic\n")
    write(settings, "shops/south.csv", "name,region\nSouth,warm\n")
    write(settings, "shops/.part.csv", "half of a fi")
    tables = {"shops": {"path": "{store}/landing/shops/*.csv"}, "weather": {"path": WEATHER}}
    definition = joined_definition(tables=tables)
    staged = stage(settings, definition, DAYS[:1])[DAYS[0]]
    assert [row["region"] for row in rows_of(settings, staged)] == ["warm", "arctic", "warm", "arctic", "warm"]
    write(settings, "shops/south.csv", "name,colour\nSouth,red\n")
    problem = stage(settings, definition, DAYS[:1])[DAYS[0]].problem
    assert "has files of different columns" in str(problem)


def test_a_delta_table_can_be_joined_and_its_version_is_recorded(stored_settings: Settings) -> None:
    settings = stored_settings
    land_all(settings)
    write_orders(settings, rows=orders(DAYS[0], count=2, number=[1, 3], secret=["x", "y"]))
    definition = joined_definition(
        tables={"extra": {"type": "delta", "path": "{store}/warehouse/orders"}},
        query="SELECT o.*, e.secret AS region, NULL AS rain FROM source o LEFT JOIN extra e USING (number)",
    )
    staged = stage(settings, definition)
    assert [row["region"] for row in rows_of(settings, staged[DAYS[0]])] == [None, "x", None, "y", None]
    assert staged[DAYS[0]].origins[1].endswith("warehouse/orders (version 0)")
    publish(settings, staged)
    assert {one.status for one in stage(settings, definition, attempt="2").values()} == {"unchanged"}
    write_orders(settings, rows=orders(DAYS[0], count=1, number=[9]))
    assert {one.status for one in stage(settings, definition, attempt="3").values()} == {"staged"}
    missing = joined_definition(
        tables={"extra": {"type": "delta", "path": "{store}/nothing"}},
        query="SELECT * FROM source JOIN extra USING (k)",
    )
    with pytest.raises(NoSuchDeltaTable, match=r"source\.tables\.extra\.path: there is no Delta table"):
        stage(settings, missing)


def test_a_delta_table_can_drive_the_join(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    write(settings, "shops.csv", "name,region\nNorth,arctic\n")
    definition = joined_definition(
        delta_definition,
        filter="number > 0",
        tables={"shops": {"path": SHOPS}},
        query="SELECT o.*, s.region, NULL AS rain FROM source o LEFT JOIN shops s ON o.shop = s.name",
    )
    staged = stage(settings, definition, [*DAYS, "2024-01-09"])
    assert [staged[day].rows for day in DAYS] == [3, 3, 3]
    assert "orders (version 2) has no row of it" in str(staged["2024-01-09"].problem)
    assert absent_partitions(settings, definition, [*DAYS, "2024-01-09"]) == ["2024-01-09"]
    assert [row["region"] for row in rows_of(settings, staged[DAYS[2]])] == ["arctic", None, "arctic"]


def test_one_file_is_cut_before_it_is_joined(settings: Settings) -> None:
    rows = make_rows(DAYS[0])
    for name, values in make_rows(DAYS[1]).items():
        rows[name] += values
    land(settings, "all", rows)
    write(settings, "shops.csv", "name,region\nNorth,arctic\n")
    definition = joined_definition(
        path="{store}/landing/orders/all.parquet",
        tables={"shops": {"path": SHOPS}},
        query="SELECT o.*, s.region, count(*) OVER () AS rain FROM source o LEFT JOIN shops s ON o.shop = s.name",
    )
    staged = stage(settings, definition)
    assert [staged[day].status for day in DAYS] == ["staged", "staged", "missing"]
    assert {row["rain"] for row in rows_of(settings, staged[DAYS[1]])} == {5.0}  # of the partition's rows alone


def test_data_without_time_is_joined_whole(settings: Settings) -> None:
    land(settings, "all", make_rows(DAYS[0]))
    write(settings, "shops.csv", "name,region\nNorth,arctic\n")
    definition = joined_definition(
        path="{store}/landing/orders/all.parquet", event_time=None, starts=None,
        tables={"shops": {"path": SHOPS}},
        query="SELECT o.*, s.region, NULL AS rain FROM source o LEFT JOIN shops s ON o.shop = s.name",
    )  # fmt: skip
    assert stage(settings, definition, ["all"])["all"].rows == 5


def test_rows_that_a_join_multiplies_are_kept_and_told(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    land_all(settings)
    write(settings, "shops.csv", "name,region\nNorth,arctic\nNorth,polar\n")
    with caplog.at_level(logging.WARNING):
        staged = stage(settings, joined_definition(), DAYS[:1])[DAYS[0]]
    assert staged.rows == 7
    assert staged.notes == ("source.query made 7 rows out of 5 of `source`",)
    assert "does a key of a joined table repeat?" in caplog.text


def test_a_side_file_that_is_not_there_is_waited_for_like_the_driver_s(settings: Settings) -> None:
    land_all(settings)
    gone = settings.store / "landing" / "weather" / f"{DAYS[1]}.csv"
    gone.unlink()
    staged = stage(settings, joined_definition())
    assert [staged[day].status for day in DAYS] == ["staged", "missing", "staged"]
    assert f"there is no file {gone} (source.tables.weather)" in str(staged[DAYS[1]].problem)
    assert absent_partitions(settings, joined_definition(), [*DAYS, "2024-01-04"]) == [DAYS[1], "2024-01-04"]


def test_a_side_file_that_is_written_to_meanwhile_is_not_used(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_all(settings)
    from include.lake import joined_source

    query = joined_source._count

    def meddle(*given: Any) -> int:
        write(settings, "shops.csv", "name,region\nNorth,changed\n")
        return query(*given)

    monkeypatch.setattr(joined_source, "_count", meddle)
    staged = stage(settings, joined_definition(), DAYS[:1])[DAYS[0]]
    assert staged.status == "refused"
    assert "shops.csv was changed while it was read" in str(staged.problem)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a column that a table has not": (
        {"query": QUERY.replace("w.rain", "w.snow AS rain")},
        r'source\.query: the query does not fit .*"snow".* Correct the query, or deliver the tables',
    ),
    "a column that the query does not give": (
        {"query": QUERY.replace(", w.rain", "")},
        r"source\.query: the query gives no column rain \(it gives at, shop, .* region\)\. Add it to the SELECT",
    ),
    "a column twice": (
        {"query": QUERY.replace("s.region", "s.region, s.region")},
        r"the query gives more than one column region\. .* a\.\* EXCLUDE \(region\)",
    ),
    "a value that cannot be cast": (
        {"query": QUERY.replace("s.region", "CAST(s.region AS INTEGER) AS region")},
        r"source\.query: the query over .* failed: .*arctic.* Correct the query \(TRY_CAST",
    ),
    "a wrong type": (
        {"query": QUERY.replace("s.region, w.rain", "s.region, s.region AS rain")},
        r"what source\.query makes of .* has wrongly typed values: column rain is no number in 2 row\(s\) .*'arctic'",
    ),
    "an event time outside of the partition": (
        {"query": QUERY.replace("o.*", 'o.* REPLACE (o."at" - INTERVAL 1 DAY AS "at")')},
        r"has 5 row\(s\) whose at lies outside the partition",
    ),
    "rows without an event time": (
        {"query": QUERY.replace("source o LEFT JOIN shops s", "source o RIGHT JOIN shops s")},
        r"has 1 row\(s\) without at, the event time",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_query_gives_wrongly_refuses_the_partition(settings: Settings, case: str) -> None:
    land_all(settings, DAYS[:1])
    change, words = WRONG[case]
    staged = stage(settings, joined_definition(**change), DAYS[:1])[DAYS[0]]
    assert staged.status == "refused"
    assert re.search(words, str(staged.problem)), staged.problem


@pytest.mark.parametrize("name", ["shops.csv", f"orders/{DAYS[0]}.parquet"])
def test_a_broken_file_of_any_table_refuses_the_partition(settings: Settings, name: str) -> None:
    land_all(settings, DAYS[:1])
    write(settings, name, 'name,region\n"North,arc\n"\n"x' if name.endswith("csv") else "no Parquet")
    staged = stage(settings, joined_definition(), DAYS[:1])[DAYS[0]]
    assert staged.status == "refused"
    assert name.rpartition("/")[2] in str(staged.problem)


def test_all_tables_may_lie_in_the_store_s_bucket(settings: Settings, s3: ObjectStorage, s3_bucket: str) -> None:
    here = in_bucket(settings, s3.environment(s3_bucket))
    land_all(here)
    store_of(here).deliver(*(path for path in (here.store / "landing").rglob("*") if path.is_file()))
    there = in_bucket(settings, s3.environment(s3_bucket))
    tables = {"shops": {"path": "{store}/landing/sho*.csv"}, "weather": {"path": WEATHER}}
    staged = stage(there, joined_definition(tables=tables))
    assert [staged[day].rows for day in DAYS] == [5, 5, 5]
    assert staged[DAYS[0]].origins[1].startswith("s3://")
    assert absent_partitions(there, joined_definition(), [DAYS[0], "2024-01-09"]) == ["2024-01-09"]
