"""What batch scoring reads of a model's raw table."""

from __future__ import annotations

from typing import Any

import pytest
from deltalake import DeltaTable

from include.lake.digests import file_checksum
from include.lake.score_sources import RAW, RawSource
from include.lake.table import LakeTable
from include.settings import Settings
from tests.lake.factories import land, make_definition, make_rows, publish_raw

pytestmark = pytest.mark.database
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def publish_days(settings: Settings) -> None:
    for number, day in enumerate(DAYS):
        land(settings, day, make_rows(day, number + 1))
        publish_raw(settings, make_definition(), [day], attempt=f"try-{number}")


def test_parts_are_the_published_files_of_the_version_that_the_source_began_with(stored_settings: Settings) -> None:
    publish_days(stored_settings)
    source = RawSource(stored_settings, make_definition(), [*DAYS, "2024-01-09"])
    before = {part.key: (part.content, part.file) for part in source.parts()}
    assert before["2024-01-09"] == (None, None)
    land(stored_settings, DAYS[1], make_rows(DAYS[1], 7))
    publish_raw(stored_settings, make_definition(), [DAYS[1]], attempt="later")
    parts = source.parts()
    assert {part.key: (part.content, part.file) for part in parts} == before
    assert {part.data_source for part in parts} == {RAW}
    for part in parts[:3]:
        rows = source.rows(part, make_definition().source.columns)
        assert rows == part.file
        source.release(part)
        assert rows.is_file()


def test_the_tables_log_is_read_as_often_for_many_partitions_as_for_one(
    stored_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_days(stored_settings)
    honest, opened = LakeTable.open, []

    def counting(self: LakeTable, *given: Any) -> DeltaTable:
        opened.append(1)
        return honest(self, *given)

    monkeypatch.setattr(LakeTable, "open", counting)
    counts = []
    for keys in (DAYS[:1], DAYS):
        source = RawSource(stored_settings, make_definition(), keys)
        opened.clear()
        source.parts()
        counts.append(len(opened))
    assert counts[0] == counts[1]


def test_each_partition_has_its_own_file(stored_settings: Settings) -> None:
    publish_days(stored_settings)
    table = LakeTable(stored_settings, "orders", "raw")
    files = table.files()
    assert sorted(files) == DAYS
    assert len({file_checksum(file) for file in files.values()}) == 3
