"""CSV files, and one file that is cut into partitions by its event time."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from include.lake.staging import StagedPartition
from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import landing_path, make_definition, make_rows, publish_raw, stage_raw

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def write_csv(path: Path, *parts: Mapping[str, list[Any]], newline: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(parts[0])
        for rows in parts:
            writer.writerows(zip(*rows.values(), strict=True))
    return path


def daily_csv() -> Definition:
    return make_definition(source={"path": "{store}/landing/orders/{partition}.csv"})


def one_csv() -> Definition:
    return make_definition(source={"path": "{store}/landing/orders.csv"})


def one_path(settings: Settings) -> Path:
    return settings.store / "landing" / "orders.csv"


def stage_day(settings: Settings) -> StagedPartition:
    return stage_raw(settings, daily_csv(), DAYS[:1])[DAYS[0]]


def test_csv_and_parquet_of_the_same_rows_have_equal_digests(settings: Settings) -> None:
    from tests.lake.factories import land

    write_csv(landing_path(settings, DAYS[0], "csv"), make_rows(DAYS[0]))
    land(settings, DAYS[0])
    as_parquet = stage_raw(settings, make_definition(), DAYS[:1], attempt="other")[DAYS[0]]
    assert stage_day(settings).digest == as_parquet.digest


def test_quotes_line_ends_and_a_byte_order_mark_are_understood(settings: Settings) -> None:
    rows = make_rows(DAYS[0]) | {"shop": ['a "b"', "c, d", "line\nbreak", "", "e"]}
    path = write_csv(landing_path(settings, DAYS[0], "csv"), rows, newline="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    staged = stage_day(settings)
    assert staged.status == "staged", staged.problem
    assert staged.rows == 5


def test_a_csv_cut_off_in_a_row_is_refused(settings: Settings) -> None:
    path = write_csv(landing_path(settings, DAYS[0], "csv"), make_rows(DAYS[0]))
    text = path.read_text()
    path.write_text(text[: text.rindex(",North") if ",North" in text else -20])
    staged = stage_day(settings)
    assert staged.status == "refused"
    assert "cannot be read" in (staged.problem or "")


def test_a_csv_that_is_no_text_is_refused(settings: Settings) -> None:
    landing_path(settings, DAYS[0], "csv").write_bytes(bytes(range(128, 256)) * 10)
    assert "not CSV text in UTF-8" in (stage_day(settings).problem or "")


def test_a_csv_with_a_header_only_has_no_rows(settings: Settings) -> None:
    landing_path(settings, DAYS[0], "csv").write_text(",".join(make_rows(DAYS[0])) + "\n")
    staged = stage_day(settings)
    assert (staged.status, staged.rows) == ("staged", 0)


def test_a_wrong_value_in_a_csv_is_shown(settings: Settings) -> None:
    write_csv(landing_path(settings, DAYS[0], "csv"), make_rows(DAYS[0]) | {"number": [0, 1, "two", 3, 4]})
    assert "column number is no integer in 1 row(s) (row 3: 'two')" in (stage_day(settings).problem or "")


def test_times_with_an_offset_are_put_on_the_sources_clock(settings: Settings) -> None:
    definition = make_definition(
        source={"path": "{store}/landing/orders/{partition}.csv", "time_zone": "America/New_York"}
    )
    times = ["2024-01-01T23:00:00", "2024-01-02 04:59:00Z", "2024-01-01 00:00:00-05", "2024-01-01T06:00:00+01:00"]
    rows = make_rows(DAYS[0], 4) | {"at": times}
    write_csv(landing_path(settings, DAYS[0], "csv"), rows)
    staged = stage_raw(settings, definition, DAYS[:1])[DAYS[0]]
    assert staged.status == "staged", staged.problem


def test_one_file_is_cut_into_partitions(settings: Settings) -> None:
    parts = [make_rows(day, count) for day, count in zip(DAYS, (3, 4, 5), strict=True)]
    write_csv(one_path(settings), *parts)
    staged = stage_raw(settings, one_csv(), DAYS)
    assert [staged[day].rows for day in DAYS] == [3, 4, 5]
    write_csv(landing_path(settings, DAYS[1], "csv"), parts[1])
    daily = stage_raw(settings, daily_csv(), DAYS[1:2], attempt="daily")
    assert staged[DAYS[1]].digest == daily[DAYS[1]].digest


def test_a_day_between_others_without_rows_has_none_and_a_later_one_has_not_arrived(settings: Settings) -> None:
    write_csv(one_path(settings), make_rows(DAYS[0]), make_rows(DAYS[2]))
    staged = stage_raw(settings, one_csv(), [*DAYS, "2024-01-04"])
    assert (staged[DAYS[1]].status, staged[DAYS[1]].rows) == ("staged", 0)
    assert staged["2024-01-04"].status == "missing"
    assert "newest rows are of 2024-01-03" in (staged["2024-01-04"].problem or "")


def test_a_wrong_value_refuses_only_its_own_partition(settings: Settings) -> None:
    write_csv(one_path(settings), make_rows(DAYS[0]), make_rows(DAYS[1]) | {"price": [1, 2, "x", 4, 5]})
    staged = stage_raw(settings, one_csv(), DAYS[:2])
    assert [staged[day].status for day in DAYS[:2]] == ["staged", "refused"]
    assert "'x'" in (staged[DAYS[1]].problem or "")


def test_a_row_without_time_could_belong_to_any_partition_and_refuses_all(settings: Settings) -> None:
    write_csv(one_path(settings), make_rows(DAYS[0]), make_rows(DAYS[1], 2) | {"at": ["2024-01-02 00:00:00", ""]})
    staged = stage_raw(settings, one_csv(), DAYS[:2])
    assert {partition.status for partition in staged.values()} == {"refused"}
    assert "without at, the event time (row 7)" in (staged[DAYS[0]].problem or "")


@pytest.mark.database
def test_rows_appended_to_one_file_leave_older_partitions_unchanged(stored_settings: Settings) -> None:
    write_csv(one_path(stored_settings), make_rows(DAYS[0]))
    publish_raw(stored_settings, one_csv(), DAYS[:1])
    write_csv(one_path(stored_settings), make_rows(DAYS[0]), make_rows(DAYS[1]))
    staged = stage_raw(stored_settings, one_csv(), DAYS[:2], attempt="second")
    assert [staged[day].status for day in DAYS[:2]] == ["unchanged", "staged"]
