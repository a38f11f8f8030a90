"""Publishing: atomic, idempotent, one writer at a time; time travel and digests."""

from __future__ import annotations

import pytest

from include.lake.connections import open_duckdb
from include.lake.table import LakeTable
from include.settings import Settings
from tests.lake.factories import land, make_definition, manifest_of, publish_raw, stage_raw

pytestmark = pytest.mark.database


def test_published_rows_can_be_scanned_in_their_total_order(stored_settings: Settings) -> None:
    land(stored_settings, "2024-01-01")
    land(stored_settings, "2024-01-02")
    published = publish_raw(stored_settings, make_definition(), ["2024-01-01", "2024-01-02"])
    table = LakeTable(stored_settings, "orders", "raw")
    assert published.rows == 10
    connection = open_duckdb(stored_settings)
    table.scan(connection, "raw", keys=["2024-01-02"], columns=["partition", "_row", "number"])
    rows = connection.execute("SELECT * FROM raw ORDER BY _row").fetchall()
    assert rows == [("2024-01-02", i, i) for i in range(5)]
    assert set(table.partitions()) == {"2024-01-01", "2024-01-02"}
