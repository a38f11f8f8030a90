"""Values of the past in the features table and in the servers' files: kept fresh, and nothing done twice."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.features.history import Past, history_digest
from include.features.replica import publish_replicas
from include.features.replica_format import POINTER
from include.gates.suite import load_suite
from include.lake.connections import open_duckdb
from include.lake.files_source import FilesSource
from include.lake.paths import from_store, history_folder
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.histories import histories
from include.training.provenance import find_provenance
from tests.features.past_lake import DAYS, GROUP, publish_days, publish_features, reading, stage
from tests.lake.factories import PASSED, land, make_definition, make_rows, manifest_of, publish_raw, write_suites

pytestmark = pytest.mark.database


def replace_day(settings: Settings, definition: Definition, day: str, attempt: str) -> None:
    land(settings, day, make_rows(day) | {"days": [9.0] * 5})
    publish_raw(settings, definition, [day], attempt=attempt)


def replica(
    settings: Settings, definition: Definition
) -> tuple[dict[str, Any], dict[tuple[str, str], tuple[Any, ...]]]:
    """The pointer, and partition and key → values."""
    [history] = histories(definition)
    folder = history_folder(settings, history.owner.model, history.name, history_digest(history))
    pointer = json.loads((folder / POINTER).read_text())
    database = sqlite3.connect(folder / pointer["file"])
    rows = database.execute("SELECT * FROM past").fetchall()
    database.close()
    names = [one["key"] for one in pointer["partitions"]]
    return pointer, {(names[place], key): tuple(values) for place, key, *values in rows}


def test_rows_get_what_was_known_when_their_partition_began(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    staged = stage(stored_settings, definition, DAYS, "f-1")
    first, third = (pq.read_table(from_store(stored_settings, staged[key].path or "")) for key in (DAYS[0], DAYS[2]))
    assert set(first["recent_late_rate"].to_pylist()) == {None}
    assert set(first["recent_orders"].to_pylist()) == {0}
    shops = dict(zip(third["shop"].to_pylist(), third["recent_late_rate"].to_pylist(), strict=True))
    assert shops == {"South": pytest.approx(1 / 3), "North": 0.5}
    # On the third of January only the first was known for a day.
    assert dict(zip(third["shop"].to_pylist(), third["feature_orders"].to_pylist(), strict=True)) == {
        "South": 3.0,
        "North": 2.0,
    }


def test_a_replaced_partition_has_only_what_depends_on_it_computed_again(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    assert publish_features(stored_settings, definition, DAYS, "f-1") == DAYS
    assert publish_features(stored_settings, definition, DAYS, "f-2") == []
    replace_day(stored_settings, definition, DAYS[1], "r-2")
    # Its own features, and those of the two days in whose window it is.
    assert publish_features(stored_settings, definition, [DAYS[1]], "f-3") == [DAYS[1], DAYS[3], DAYS[4]]


def test_whatever_the_order_of_ingestion_the_features_are_the_same(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    together = {key: partition.digest for key, partition in stage(stored_settings, definition, DAYS, "f-1").items()}
    for number, day in enumerate(reversed(DAYS)):  # each is published again as the newest news
        land(stored_settings, day, make_rows(day) | {"days": [9.0] * 5})
        publish_raw(stored_settings, definition, [day], attempt=f"odd-{number}")
        publish_features(stored_settings, definition, [day], f"odd-{number}")
    for number, day in enumerate(reversed(DAYS)):
        land(stored_settings, day)
        publish_raw(stored_settings, definition, [day], attempt=f"even-{number}")
        publish_features(stored_settings, definition, [day], f"even-{number}")
    published = LakeTable(stored_settings, "orders", "features").partitions()
    assert {key: record.digest for key, record in published.items()} == together


def test_training_finds_the_raw_version_that_the_past_was_made_from(stored_settings: Settings) -> None:
    settings, definition = write_suites(stored_settings), reading()
    publish_days(settings, definition, DAYS)
    publish_features(settings, definition, DAYS, "f-1", load_suite(settings, "orders", "features").digest)
    features, version = LakeTable(settings, "orders", "features"), LakeTable(settings, "orders", "raw").version()
    replace_day(settings, definition, DAYS[1], "r-2")
    found = find_provenance(settings, definition, features, features.version(), DAYS)
    assert (found.raw_version, found.stale) == (version, ())


def test_another_model_reads_the_group_from_its_owners_table(stored_settings: Settings) -> None:
    settings, owner = write_suites(stored_settings, "returns"), reading()
    suite = load_suite(settings, "returns", "features").digest
    publish_days(settings, owner, DAYS)
    source = {
        "path": "{store}/landing/returns/{partition}.parquet",
        "entity": ["number"],
        "columns": {"at": "timestamp", "number": "integer", "store": "string", "bad": "boolean"},
    }
    reader = make_definition(
        model="returns",
        source=source,
        label={"expression": "bad"},
        history={"recent": {"model": "orders", "by": ["store"]}},
        features={"rate": {"expression": "recent_late_rate"}},
        evaluation={"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    ).borrowing({"orders": owner})
    folder = settings.store / "landing" / "returns"
    folder.mkdir(parents=True)
    day = DAYS[2]
    rows = {"at": [datetime.fromisoformat(day)] * 2, "number": [1, 2], "store": ["North", "East"], "bad": [True, False]}
    pq.write_table(pa.table(rows), folder / f"{day}.parquet")
    staged = FilesSource(settings, reader, "r-1", "suite").stage([day], {})
    manifest = manifest_of({one.key: one for one in staged}, attempt="r-1", model="returns")
    LakeTable(settings, "returns", "raw").publish(manifest, attempt="r-1", gate=PASSED)
    assert publish_features(settings, reader, [day], "f-1", suite) == [day]
    features = LakeTable(settings, "returns", "features")
    table = features.dataset().to_table()
    rates = dict(zip(table["number"].to_pylist(), table["recent_late_rate"].to_pylist(), strict=True))
    assert rates == {1: 0.5, 2: None}
    assert find_provenance(settings, reader, features, features.version(), [day]).stale == ()
    replace_day(settings, owner, DAYS[0], "r-2")
    # Training does not take what is out of date; the model's next data run computes it again.
    assert find_provenance(settings, reader, features, features.version(), [day]).stale == (day,)
    assert publish_features(settings, reader, [], "f-2", suite) == [day]


def test_servers_get_the_values_of_the_features_table_and_of_what_follows(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    publish_features(stored_settings, definition, DAYS, "f-1")
    assert publish_replicas(stored_settings, definition) == ["recent"]
    pointer, held = replica(stored_settings, definition)
    names = [one["key"] for one in pointer["partitions"]]
    assert names[-2:] == ["2024-01-07", "2024-01-08"]
    table = LakeTable(stored_settings, "orders", "features").dataset().to_table()
    for key, shop, rate, orders in zip(
        *(table[name].to_pylist() for name in ("partition", "shop", "recent_late_rate", "recent_orders")), strict=True
    ):
        assert held.get((key, f'["{shop}"]'), (None, 0)) == (rate, orders)


def test_the_servers_file_is_written_again_only_when_something_in_it_changed(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    assert publish_replicas(stored_settings, definition) == ["recent"]
    before = replica(stored_settings, definition)[0]
    assert publish_replicas(stored_settings, definition) == []
    replace_day(stored_settings, definition, DAYS[4], "r-2")
    assert publish_replicas(stored_settings, definition) == ["recent"]
    assert replica(stored_settings, definition)[0]["file"] != before["file"]


def test_a_changed_declaration_has_files_of_its_own(stored_settings: Settings) -> None:
    definition = reading()
    publish_days(stored_settings, definition, DAYS)
    publish_replicas(stored_settings, definition)
    before = replica(stored_settings, definition)
    changed = reading(history={"recent": GROUP | {"over": "1d"}})
    assert publish_replicas(stored_settings, changed) == ["recent"]
    assert replica(stored_settings, definition) == before
    assert replica(stored_settings, changed)[1] != before[1]


def test_before_there_are_rows_nothing_is_published_for_servers_and_there_are_no_values(
    stored_settings: Settings,
) -> None:
    values = {"late_rate": {"mean": "days * 2"}, "orders": "count"}
    definition = reading(history={"recent": GROUP | {"values": values}})
    assert publish_replicas(stored_settings, definition) == []
    past = Past.of(stored_settings, histories(definition)[0])
    connection = open_duckdb(stored_settings)
    past.compute(connection, "nothing", [past.windows.calendar.from_key(DAYS[0])])
    assert connection.execute("SELECT count(*) FROM nothing").fetchone() == (0,)
    connection.close()
