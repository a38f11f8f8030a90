"""A Delta source: rows by window of one version, only from files that may hold them, with clear refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from include.errors import Refused, TryAgain
from include.lake.delta_rows import DeltaColumnUnfit
from include.lake.delta_snapshot import DeltaFileGone, DeltaTableUnreadable, NoSuchDeltaTable
from include.lake.delta_source import DeltaSource
from include.lake.paths import from_store
from include.lake.sources import absent_partitions
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings
from tests.lake.delta_world import (
    CLOCK,
    DAYS,
    added_files,
    commit,
    delta_definition,
    orders,
    protocol,
    table_folder,
    write_orders,
)
from tests.lake.factories import PASSED, land, make_definition, manifest_of, stage_raw
from tests.lake.sql_world import stage
from tests.object_storage import ObjectStorage, in_bucket

UNTIMED = {"event_time": None, "starts": None, "partition": None}


def rows_of(settings: Settings, partition: StagedPartition) -> list[dict[str, Any]]:
    assert partition.path is not None, partition.problem
    return list(pq.read_table(from_store(settings, partition.path)).to_pylist())


def forget_files(settings: Settings, *, but: str) -> None:
    """Remove the data files of all other days: whoever opens one of them fails."""
    for add in added_files(settings):
        if not add["stats"] or but not in add["stats"]:
            (table_folder(settings) / add["path"]).unlink()


def test_each_partition_holds_its_own_rows_as_a_file_would_give_them(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    staged = stage(settings, delta_definition())
    assert [staged[day].rows for day in DAYS] == [4, 4, 4]
    assert [row["number"] for row in rows_of(settings, staged[DAYS[1]])] == [0, 1, 2, 3]
    assert "secret" not in rows_of(settings, staged[DAYS[1]])[0]
    land(settings, DAYS[0], orders(DAYS[0]))
    assert stage_raw(settings, make_definition(), DAYS[:1])[DAYS[0]].digest == staged[DAYS[0]].digest


def test_the_version_that_was_read_is_recorded_with_the_rows(stored_settings: Settings) -> None:
    write_orders(stored_settings, *DAYS)
    staged = stage(stored_settings, delta_definition())
    label = f"the Delta table {table_folder(stored_settings)} (version 2)"
    assert {(one.source, one.origins) for one in staged.values()} == {(label, (label,))}
    raw = LakeTable(stored_settings, "orders", "raw")
    raw.publish(manifest_of(staged), attempt="try-1", gate=PASSED)
    assert raw.history()[0]["noria"]["origins"] == [label]


def test_one_run_reads_one_version_whatever_is_written_meanwhile(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    source = DeltaSource(settings, delta_definition(), "try-1", "suite")
    write_orders(settings, DAYS[0])
    assert [one.rows for one in source.stage(DAYS, {})] == [4, 4, 4]


def test_files_without_rows_of_the_partition_are_not_opened(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    forget_files(settings, but=DAYS[1])
    assert stage(settings, delta_definition(), [DAYS[1]])[DAYS[1]].rows == 4
    with pytest.raises(DeltaFileGone, match="has lost its file part-") as caught:
        stage(settings, delta_definition(), [DAYS[0]])
    assert caught.value.exit_code == TryAgain.exit_code


def test_a_filter_chooses_rows_and_closes_files_by_their_partition(settings: Settings) -> None:
    for country in ("D/E x", "F%é"):
        write_orders(settings, rows=orders(DAYS[0], country=[country] * 4), partition_by=["country"])
    for add in added_files(settings):
        if add["partitionValues"]["country"] == "D/E x":
            next(table_folder(settings).rglob(add["path"].rsplit("/", 1)[-1])).unlink()
    definition = delta_definition(
        filter="country = 'F%é' AND number >= 2",
        columns=make_definition().source.columns | {"country": "string"},
    )
    found = rows_of(settings, stage(settings, definition, DAYS[:1])[DAYS[0]])
    assert [(row["number"], row["country"]) for row in found] == [(2, "F%é"), (3, "F%é")]


def test_older_files_without_a_column_give_nulls_and_partition_values_may_be_null(settings: Settings) -> None:
    write_orders(settings, rows=orders(DAYS[0], country=pa.array(["X", None, "X", None])), partition_by=["country"])
    new = orders(DAYS[0], count=2, number=[8, 9], country=pa.array(["X", "X"]), tip=[1.5, 2.5])
    data = pa.table({**new, "at": pa.array([at.replace(tzinfo=UTC) for at in new["at"]], pa.timestamp("us", "UTC"))})
    write_deltalake(str(table_folder(settings)), data, mode="append", schema_mode="merge", partition_by=["country"])
    columns = make_definition().source.columns | {"tip": "number", "country": "string"}
    found = rows_of(settings, stage(settings, delta_definition(columns=columns), DAYS[:1])[DAYS[0]])
    assert {(row["number"], row["country"], row["tip"]) for row in found} == {
        (0, "X", None), (1, None, None), (2, "X", None), (3, None, None), (8, "X", 1.5), (9, "X", 2.5),
    }  # fmt: skip


# --- there, due, unchanged -----------------------------------------------------------------------------------------


def test_a_partition_is_there_when_it_is_due_and_has_a_row(settings: Settings) -> None:
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    write_orders(settings, DAYS[0], yesterday)
    soon, late = delta_definition(), delta_definition(arrives_after="3d")
    assert absent_partitions(settings, soon, [DAYS[0], DAYS[1], yesterday]) == [DAYS[1]]
    assert absent_partitions(settings, late, [DAYS[0], yesterday]) == [yesterday]
    assert absent_partitions(settings, delta_definition(filter="number > 99"), DAYS[:1]) == DAYS[:1]
    staged = stage(settings, late, [DAYS[0], DAYS[1], yesterday])
    assert [one.status for one in staged.values()].count("missing") == 2
    assert "arrives_after" in str(staged[yesterday].problem)
    assert "(version 1) has no row of it" in str(staged[DAYS[1]].problem)


def test_equal_rows_are_unchanged_even_after_the_table_was_compacted(stored_settings: Settings) -> None:
    write_orders(stored_settings, *DAYS)
    raw = LakeTable(stored_settings, "orders", "raw")
    raw.publish(manifest_of(stage(stored_settings, delta_definition())), attempt="try-1", gate=PASSED)
    DeltaTable(str(table_folder(stored_settings))).optimize.compact()
    write_orders(stored_settings, rows=orders(DAYS[1], count=1, number=[77]))
    again = stage(stored_settings, delta_definition(), attempt="try-2")
    assert [again[day].status for day in DAYS] == ["unchanged", "staged", "unchanged"]
    assert again[DAYS[1]].rows == 5
    assert stage(stored_settings, delta_definition(), attempt="try-3", force=True)[DAYS[0]].status == "staged"


def test_wrongly_typed_values_refuse_their_partition_with_examples(settings: Settings) -> None:
    for day, price in zip(DAYS, ["1", "dear", "3"], strict=True):
        write_orders(settings, rows=orders(day, price=["0", "1", price, "2"]))
    staged = stage(settings, delta_definition())
    assert [staged[day].status for day in DAYS] == ["staged", "refused", "staged"]
    assert "column price is no number in 1 row(s)" in str(staged[DAYS[1]].problem)
    assert "Repair the data in the table and ingest the partition again" in str(staged[DAYS[1]].problem)


def test_a_broken_file_refuses_its_partition_alone(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    broken = next(add["path"] for add in added_files(settings) if DAYS[1] in add["stats"])
    (table_folder(settings) / broken).write_bytes(b"no Parquet")
    staged = stage(settings, delta_definition())
    assert [staged[day].status for day in DAYS] == ["staged", "refused", "staged"]
    assert "cannot be read" in str(staged[DAYS[1]].problem)


# --- times -----------------------------------------------------------------------------------------------------------


def test_instants_are_cut_in_the_source_s_zone(settings: Settings) -> None:
    moments = [datetime(2024, 1, 1, 4, 59, 59), datetime(2024, 1, 1, 5), datetime(2024, 1, 2, 4, 59, 59)]  # noqa: DTZ001
    write_orders(settings, rows=orders(DAYS[0], count=3) | {"at": moments})
    staged = stage(settings, delta_definition(time_zone="America/New_York"), DAYS[:1])
    found = [(row["number"], row["at"]) for row in rows_of(settings, staged[DAYS[0]])]
    assert found == [(1, datetime(2024, 1, 1)), (2, datetime(2024, 1, 1, 23, 59, 59))]  # noqa: DTZ001


@pytest.mark.parametrize(("size", "keys"), [("hour", ["2024-01-01T06"]), ("month", ["2024-01", "2024-02"])])
def test_hours_and_months_of_a_clock_are_cut_too(settings: Settings, size: str, keys: list[str]) -> None:
    write_orders(settings, DAYS[0], DAYS[1], "2024-02-29", time=CLOCK)
    staged = stage(settings, delta_definition(partition=size, time_zone="Asia/Tokyo"), keys)
    assert [staged[key].rows for key in keys] == ([1] if size == "hour" else [8, 4])


@pytest.mark.parametrize("time", [pa.timestamp("us", "UTC"), CLOCK])
def test_the_hour_that_a_clock_shows_twice(settings: Settings, time: pa.DataType) -> None:
    start = datetime(2024, 11, 3, 4, 30, tzinfo=UTC)
    moments: list[datetime] = [start + timedelta(hours=n) for n in range(4)]
    if time == CLOCK:
        moments = [datetime(2024, 11, 3, hour, 30) for hour in (0, 1, 1, 2)]  # noqa: DTZ001
    write_orders(settings, rows=orders(DAYS[0]) | {"at": moments}, time=time)
    keys = ["2024-11-03T00", "2024-11-03T01", "2024-11-03T01+1", "2024-11-03T02"]
    staged = stage(settings, delta_definition(partition="hour", time_zone="America/New_York"), keys)
    if time == CLOCK:
        assert [staged[key].rows for key in keys] == [1, 2, 0, 1]
        assert "has no time zone" in str(staged[keys[2]].problem)
    else:
        assert [staged[key].rows for key in keys] == [1, 1, 1, 1]


def test_a_date_that_the_table_is_partitioned_by_can_be_the_event_time(settings: Settings) -> None:
    for day in DAYS:
        rows = orders(day, number=[1, 2, 3, 4]) | {"at": [date.fromisoformat(day)] * 4}
        write_orders(settings, rows=rows, time=pa.date32(), partition_by=["at"])
    for add in added_files(settings):
        if add["partitionValues"]["at"] != DAYS[2]:
            (table_folder(settings) / add["path"]).unlink()
    assert stage(settings, delta_definition(), [DAYS[2]])[DAYS[2]].rows == 4


def test_data_without_time_is_all_that_the_table_holds(settings: Settings) -> None:
    write_orders(settings, *DAYS)
    definition = delta_definition(**UNTIMED, filter="number < 3")
    assert stage(settings, definition, ["all"])["all"].rows == 9
    assert absent_partitions(settings, definition, ["all"]) == []
    nothing = delta_definition(**UNTIMED, filter="number < 0")
    assert "The data has not arrived" in str(stage(settings, nothing, ["all"])["all"].problem)
    assert absent_partitions(settings, nothing, ["all"]) == ["all"]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_no_table_is_one_refusal_with_the_line_of_the_path(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, models=tmp_path)
    (settings.models / "orders.yaml").write_text("model: orders\nsource:\n  type: delta\n  path: x\n")
    for ask in (
        lambda: stage(settings, delta_definition()),
        lambda: absent_partitions(settings, delta_definition(), DAYS),
    ):
        with pytest.raises(NoSuchDeltaTable, match=r"orders\.yaml:4: source\.path: there is no Delta table") as caught:
            ask()
        assert str(table_folder(settings)) in str(caught.value)
        assert caught.value.exit_code == Refused.exit_code


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": (
        {"columns": make_definition().source.columns | {"prize": "number"}},
        r"source\.columns\.prize: the Delta table .* \(version 0\) has no column 'prize'\. Did you mean `price`",
    ),
    "no such column to filter by": ({"filter": "colour = 'red'"}, r"source\.filter: .* has no column 'colour'"),
    "a filter of another type": (
        {"filter": "at > 5"},
        r"source\.filter: .* cannot be filtered so: .*\. Write a condition on its columns, with casts",
    ),
    "the event time is text": (
        {"event_time": "secret", "columns": make_definition().source.columns | {"secret": "timestamp"}},
        r"source\.event_time: .* keeps 'secret' as string, which is no time\. The event time must be a timestamp",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_columns_that_do_not_fit_are_one_refusal(settings: Settings, case: str) -> None:
    write_orders(settings, DAYS[0])
    change, words = UNFIT[case]
    with pytest.raises(DeltaColumnUnfit, match=words):
        stage(settings, delta_definition(**change))


def test_a_filter_that_fails_on_the_partition_s_values_is_one_refusal(settings: Settings) -> None:
    write_orders(settings, rows=orders(DAYS[0], country=["DE"] * 4), partition_by=["country"])
    with pytest.raises(DeltaColumnUnfit, match=r"source\.filter: .* Could not convert string 'DE'"):
        stage(settings, delta_definition(filter="CAST(country AS INTEGER) = 7"))


def _delete_by_vector(settings: Settings) -> None:
    add = added_files(settings)[0]
    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 1, "sizeInBytes": 36}
    removed = {name: add[name] for name in ("path", "size", "partitionValues")}
    remove = {"deletionTimestamp": 1, "dataChange": True, "extendedFileMetadata": True}
    commit(settings, protocol("deletionVectors"))
    commit(settings, {"remove": removed | remove}, {"add": add | {"deletionVector": vector | {"cardinality": 1}}})


def _break_log(settings: Settings) -> None:
    next((table_folder(settings) / "_delta_log").glob("*.json")).write_text("{no json")


def _clone_shallow(settings: Settings) -> None:
    commit(settings, {"add": added_files(settings)[0] | {"path": "file:///elsewhere/part-1.parquet"}})


UNREADABLE: dict[str, tuple[Callable[[Settings], None], str]] = {
    "deletion vectors": (_delete_by_vector, "deleted by deletion vectors. Purge them"),
    "column mapping": (
        lambda settings: commit(settings, protocol("columnMapping")),
        "needs the reader feature(s) columnMapping. Write it without them",
    ),
    "a broken log": (_break_log, "Repair its _delta_log"),
    "a shallow clone": (_clone_shallow, "whose files lie elsewhere. Make a deep clone"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_refusal_with_the_cure(settings: Settings, case: str) -> None:
    write_orders(settings, DAYS[0])
    change, words = UNREADABLE[case]
    change(settings)
    with pytest.raises(DeltaTableUnreadable, match=re.escape(words)) as caught:
        stage(settings, delta_definition())
    assert "source.path: the Delta table" in str(caught.value)


def test_a_table_that_allows_deletion_vectors_and_has_none_is_read(settings: Settings) -> None:
    write_orders(settings, DAYS[0])
    commit(settings, protocol("deletionVectors"))
    assert stage(settings, delta_definition(), DAYS[:1])[DAYS[0]].rows == 4


# --- a bucket --------------------------------------------------------------------------------------------------------


def test_a_table_in_the_store_s_bucket_is_read_with_the_store_s_credentials(
    settings: Settings, s3: ObjectStorage, s3_bucket: str
) -> None:
    here = in_bucket(settings, s3.environment(s3_bucket))
    address = store_of(here).table(table_folder(here))
    for day in DAYS:
        write_orders(here, day, uri=address.uri, options=address.options)
    there = in_bucket(settings, s3.environment(s3_bucket))
    staged = stage(there, delta_definition(), DAYS[1:2])
    assert staged[DAYS[1]].rows == 4
    assert str(staged[DAYS[1]].source).startswith(f"the Delta table {address.uri} (version 2")
    assert len(list(table_folder(there).glob("*.parquet"))) == 1  # of three, only the one that was needed
    assert absent_partitions(there, delta_definition(), [DAYS[0], "2024-01-09"]) == ["2024-01-09"]
    with pytest.raises(NoSuchDeltaTable, match="s3://"):
        stage(there, delta_definition(path="{store}/warehouse/nothing"))


def test_a_table_on_this_machine_is_read_beside_a_bucket(settings: Settings, s3: ObjectStorage, s3_bucket: str) -> None:
    write_orders(settings, DAYS[0])
    there = in_bucket(settings, s3.environment(s3_bucket))
    definition = delta_definition(path=str(table_folder(settings)))
    assert stage(there, definition, DAYS[:1])[DAYS[0]].rows == 4
