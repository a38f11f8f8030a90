"""Files that come: each bad partition is refused alone, in words that say what, where and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.lake.columns import ReservedColumn
from include.lake.files_source import FilesSource
from include.lake.paths import UnsafeName, from_store, source_path
from include.lake.raw_rows import partition_label
from include.lake.staging import StagedPartition
from include.settings import Settings
from tests.lake.factories import land, landing_path, make_definition, make_rows, stage_raw

DAY, NEXT = "2024-01-01", "2024-01-02"


def stage_beside_a_good_one(settings: Settings, **changes: Any) -> StagedPartition:
    """Stage DAY, whose file the test has broken, with a good one, which must go on."""
    land(settings, NEXT)
    staged = stage_raw(settings, make_definition(**changes), [DAY, NEXT])
    assert staged[NEXT].status == "staged"
    assert staged[NEXT].rows == 5
    assert staged[DAY].status == "refused"
    assert staged[DAY].path is None
    assert str(landing_path(settings, DAY)) in (staged[DAY].problem or "")
    return staged[DAY]


def test_a_good_file_is_staged_with_row_numbers_in_total_order(settings: Settings) -> None:
    rows = make_rows(DAY)
    land(settings, DAY, {name: values[::-1] for name, values in rows.items()})
    staged = stage_raw(settings, make_definition(), [DAY])[DAY]
    table = pq.read_table(from_store(settings, staged.path or ""))
    assert table.column("_row").to_pylist() == [0, 1, 2, 3, 4]
    assert table.column("number").to_pylist() == [0, 1, 2, 3, 4]
    assert (staged.rows, len(staged.digest or ""), len(staged.inputs or "")) == (5, 32, 32)


def test_partitions_that_are_links_to_files_elsewhere_are_staged(settings: Settings, tmp_path: Path) -> None:
    for key in (DAY, NEXT):
        elsewhere = tmp_path / f"delivered-{key}" / "part.parquet"
        elsewhere.parent.mkdir()
        land(settings, key).rename(elsewhere)
        landing_path(settings, key).symlink_to(elsewhere)
    staged = stage_raw(settings, make_definition(), [DAY, NEXT])
    assert [(found.status, found.rows) for found in staged.values()] == [("staged", 5), ("staged", 5)]


def test_an_empty_file_is_refused(settings: Settings) -> None:
    landing_path(settings, DAY).touch()
    assert "empty (0 bytes)" in (stage_beside_a_good_one(settings).problem or "")


def test_a_malformed_file_is_refused(settings: Settings) -> None:
    landing_path(settings, DAY).write_bytes(b"this is no parquet file at all")
    assert "not a complete Parquet file" in (stage_beside_a_good_one(settings).problem or "")


def test_a_file_with_a_damaged_end_is_refused(settings: Settings) -> None:
    path = land(settings, DAY)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    path.write_bytes(whole[:-footer] + b"\xff" * 20 + whole[20 - footer :])  # of which Arrow tells in an OSError
    assert "not a complete Parquet file" in (stage_beside_a_good_one(settings).problem or "")


def test_a_path_with_a_null_character_is_none_in_the_store(settings: Settings) -> None:
    with pytest.raises(UnsafeName, match="null characters"):
        from_store(settings, "staging/\0")


def test_a_truncated_file_is_refused(settings: Settings) -> None:
    path = land(settings, DAY)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a complete Parquet file" in (stage_beside_a_good_one(settings).problem or "")


def test_a_file_with_damaged_pages_is_refused_and_others_of_its_batch_go_on(settings: Settings) -> None:
    path = land(settings, DAY, make_rows(DAY, 1000))
    content = bytearray(path.read_bytes())
    content[4:6000] = b"\xff" * 5996
    path.write_bytes(bytes(content))
    assert "cannot be read" in (stage_beside_a_good_one(settings).problem or "")


@pytest.mark.parametrize("name", ["_group", "_label", "_Source_File"])
def test_a_column_with_a_name_of_our_own_is_refused(settings: Settings, name: str) -> None:
    land(settings, DAY, make_rows(DAY) | {name: [0] * 5})
    assert f"has a column named {name.lower()}" in (stage_beside_a_good_one(settings).problem or "")


def test_a_missing_column_is_named_with_a_near_one(settings: Settings) -> None:
    rows = make_rows(DAY)
    rows["prize"] = rows.pop("price")
    land(settings, DAY, rows)
    problem = stage_beside_a_good_one(settings).problem or ""
    assert "lacks the column(s) price" in problem
    assert "it has prize" in problem


def test_wrongly_typed_values_are_shown_with_column_row_and_value(settings: Settings) -> None:
    land(settings, DAY, make_rows(DAY) | {"price": ["1.5", "2", "cheap", None, "3e2"]})
    problem = stage_beside_a_good_one(settings).problem or ""
    assert "column price is no number in 1 row(s) (row 3: 'cheap')" in problem


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("number", [1.0, 2.5, 3.0, 4.0, 5.0]),
        ("number", ["1", "2.7", "3", "4", "5"]),
        ("number", np.array([2**64 - 1, 1, 2, 3, 4], np.uint64)),
        ("shop", [1, 2, 3, 4, 5]),
        ("express", [0, 1, 2, 0, 1]),
        ("at", [1, 2, 3, 4, 5]),
        ("price", [[1.0], [2.0], [3.0], [4.0], [5.0]]),
    ],
)
def test_values_of_another_type_are_never_guessed(settings: Settings, column: str, values: Any) -> None:
    land(settings, DAY, make_rows(DAY) | {column: values})
    assert f"column {column} is no " in (stage_beside_a_good_one(settings).problem or "")


def test_values_that_mean_the_same_in_another_physical_type_are_accepted(settings: Settings) -> None:
    land(settings, DAY)
    land(
        settings,
        NEXT,
        make_rows(NEXT)
        | {"number": [0.0, 1.0, 2.0, 3.0, 4.0], "express": [0, 1, 1, 0, 1], "days": pa.array(range(5), pa.int8())},
    )
    staged = stage_raw(settings, make_definition(), [DAY, NEXT])
    assert {partition.status for partition in staged.values()} == {"staged"}


def test_rows_outside_the_partition_are_refused_with_their_time(settings: Settings) -> None:
    rows = make_rows(DAY)
    rows["at"][2] = datetime(2024, 1, 2, 0, 0)  # noqa: DTZ001 - local time
    land(settings, DAY, rows)
    problem = stage_beside_a_good_one(settings).problem or ""
    assert "1 row(s) whose at lies outside the partition" in problem
    assert "row 3: 2024-01-02 00:00:00" in problem


def test_rows_without_event_time_are_refused(settings: Settings) -> None:
    rows = make_rows(DAY)
    rows["at"][1] = None
    land(settings, DAY, rows)
    assert "1 row(s) without at, the event time (row 2)" in (stage_beside_a_good_one(settings).problem or "")


def test_instants_are_cut_on_the_clock_of_the_source(settings: Settings) -> None:
    instants = [datetime(2024, 1, 2, 4, 59, tzinfo=UTC)] * 5  # still the first of January in New York
    land(settings, DAY, make_rows(DAY) | {"at": instants})
    definition = make_definition(source={"time_zone": "America/New_York"})
    staged = stage_raw(settings, definition, [DAY])[DAY]
    assert staged.status == "staged", staged.problem
    table = pq.read_table(from_store(settings, staged.path or ""))
    assert table.column("at").to_pylist()[0] == datetime(2024, 1, 1, 23, 59)  # noqa: DTZ001 - local time


def test_new_columns_are_ignored_but_noted(settings: Settings) -> None:
    land(settings, DAY, make_rows(DAY) | {"colour": ["red"] * 5})
    staged = stage_raw(settings, make_definition(), [DAY])[DAY]
    assert staged.status == "staged"
    assert "colour" in staged.notes[0]
    assert "colour" not in pq.read_schema(from_store(settings, staged.path or "")).names


def test_a_missing_file_is_missing_and_names_the_path(settings: Settings) -> None:
    land(settings, NEXT)
    staged = stage_raw(settings, make_definition(), [DAY, NEXT])
    assert staged[DAY].status == "missing"
    assert str(landing_path(settings, DAY)) in (staged[DAY].problem or "")
    assert staged[NEXT].status == "staged"


def test_a_day_without_rows_is_staged_with_none(settings: Settings) -> None:
    path = land(settings, DAY)
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    staged = stage_raw(settings, make_definition(), [DAY])[DAY]
    assert (staged.status, staged.rows) == ("staged", 0)
    assert pq.read_table(from_store(settings, staged.path or "")).num_rows == 0


def test_nan_is_missing_and_negative_zero_is_zero(settings: Settings) -> None:
    land(settings, DAY, make_rows(DAY) | {"price": [float("nan"), -0.0, 0.0, 1.0, 2.0]})
    staged = stage_raw(settings, make_definition(), [DAY])[DAY]
    values = pq.read_table(from_store(settings, staged.path or "")).column("price").to_pylist()
    assert [str(value) for value in values] == ["None", "0.0", "0.0", "1.0", "2.0"]


def test_a_reserved_column_name_is_refused(settings: Settings) -> None:
    definition = make_definition(source={"columns": {"at": "timestamp", "shop": "string", "_row": "integer"}})
    with pytest.raises(ReservedColumn, match="_row"):
        stage_raw(settings, definition, [DAY])


@pytest.mark.parametrize("key", ["../../etc", "2024-01-01/..", "2024-01-01\n", "", "2024-1-1"])
def test_partition_keys_with_path_tricks_are_refused(settings: Settings, key: str) -> None:
    with pytest.raises(UnsafeName):
        source_path(settings, "{store}/x/{partition}.parquet", key)


def test_the_label_of_a_key_is_its_first_local_moment() -> None:
    assert partition_label("2024-02") == datetime(2024, 2, 1)  # noqa: DTZ001 - local time
    assert partition_label("2024-02-03T05") == datetime(2024, 2, 3, 5)  # noqa: DTZ001 - local time
    assert partition_label("2013-11-03T01+1") == datetime(2013, 11, 3, 1)  # noqa: DTZ001 - local time


def test_a_file_that_is_written_while_it_is_read_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(settings, DAY)
    write = FilesSource._write

    def deliver_again(self: FilesSource, *arguments: Any) -> Any:
        land(settings, DAY, make_rows(DAY, 6))
        return write(self, *arguments)

    monkeypatch.setattr(FilesSource, "_write", deliver_again)
    staged = stage_raw(settings, make_definition(), [DAY])[DAY]
    assert staged.status == "refused"
    assert "changed while it was read" in (staged.problem or "")
