"""Publishing: atomic, idempotent, one writer at a time; time travel and digests."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from include.lake.connections import open_duckdb
from include.lake.digests import file_checksum
from include.lake.locks import LockUnavailable, advisory_lock
from include.lake.paths import from_store
from include.lake.publishing import NotGated, Published, StagedFileChanged, TableChanged
from include.lake.staging import StagedManifest, read_manifest, write_manifest
from include.lake.table import LakeTable, NoSuchVersion
from include.settings import Settings
from tests.lake.factories import PASSED, land, make_definition, make_rows, manifest_of, publish_raw, stage_raw

pytestmark = pytest.mark.database
ONE, TWO = "2024-01-01", "2024-01-02"
PROJECT = Path(__file__).resolve().parents[2]


def raw_table(settings: Settings) -> LakeTable:
    return LakeTable(settings, "orders", "raw")


def staged_manifest(settings: Settings, keys: list[str], attempt: str = "try-1") -> StagedManifest:
    return manifest_of(stage_raw(settings, make_definition(), keys, attempt=attempt), attempt=attempt)


def count_rows(settings: Settings, version: int | None = None) -> dict[str, int]:
    connection = open_duckdb(settings)
    raw_table(settings).scan(connection, "rows", version=version)
    return dict(connection.execute("SELECT partition, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall())


def test_published_rows_can_be_scanned(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    land(stored_settings, TWO)
    published = publish_raw(stored_settings, make_definition(), [ONE, TWO])
    connection = open_duckdb(stored_settings)
    raw_table(stored_settings).scan(connection, "raw", keys=[TWO], columns=["partition", "_row", "number"])
    rows = connection.execute("SELECT * FROM raw ORDER BY _row").fetchall()
    assert rows == [(TWO, i, i) for i in range(5)]
    assert (published.rows, published.changed) == (10, (ONE, TWO))
    assert published.digest == raw_table(stored_settings).digest()


def test_rows_that_were_published_are_found_again_by_what_was_staged(stored_settings: Settings) -> None:
    for day in (ONE, TWO):
        land(stored_settings, day)
    staged = staged_manifest(stored_settings, [ONE, TWO])
    table = raw_table(stored_settings)
    assert table.published_file(staged.partitions[0]) is None
    table.publish(staged, attempt="try-1", gate=PASSED)
    for partition in staged.partitions:
        file = table.published_file(partition)
        assert file is not None
        assert file_checksum(file) == partition.checksum
    assert table.published_file(replace(staged.partitions[0], inputs="0" * 32)) is None


def test_a_table_of_predictions_that_is_not_there_names_the_training(settings: Settings) -> None:
    with pytest.raises(NoSuchVersion, match=r"orders\.train"):
        LakeTable(settings, "orders", "predictions").version()


def test_a_table_that_was_never_published_says_so(settings: Settings) -> None:
    assert raw_table(settings).partitions() == {}
    assert not raw_table(settings).exists()
    with pytest.raises(NoSuchVersion, match=r"orders\.data"):
        raw_table(settings).version()


def test_publishing_the_same_again_makes_no_new_version(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    first = publish_raw(stored_settings, make_definition(), [ONE])
    again = publish_raw(stored_settings, make_definition(), [ONE], attempt="try-2", force=True)
    assert (again.version, again.digest, again.changed) == (first.version, first.digest, ())
    assert count_rows(stored_settings) == {ONE: 5}


def test_a_partition_is_replaced_alone_and_the_old_version_stays_readable(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    land(stored_settings, TWO)
    before = publish_raw(stored_settings, make_definition(), [ONE, TWO])
    land(stored_settings, ONE, make_rows(ONE, 7))
    after = publish_raw(stored_settings, make_definition(), [ONE], attempt="try-2")
    assert count_rows(stored_settings) == {ONE: 7, TWO: 5}
    assert count_rows(stored_settings, before.version) == {ONE: 5, TWO: 5}
    table = raw_table(stored_settings)
    assert table.digest(before.version) == before.digest != after.digest
    assert table.digest(before.version, [TWO]) == table.digest(after.version, [TWO])


def test_the_version_of_an_instant_is_the_newest_of_then(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    first = publish_raw(stored_settings, make_definition(), [ONE])
    time.sleep(0.02)
    between = datetime.now(UTC)
    time.sleep(0.02)
    land(stored_settings, ONE, make_rows(ONE, 6))
    second = publish_raw(stored_settings, make_definition(), [ONE], attempt="try-2")
    table = raw_table(stored_settings)
    assert table.version_at(between) == first.version
    assert table.version_at(datetime.now(UTC)) == second.version
    with pytest.raises(NoSuchVersion, match="as of"):
        table.version_at(between - timedelta(days=1))
    with pytest.raises(NoSuchVersion, match="version 99"):
        table.partitions(99)


def test_a_commit_carries_what_it_holds(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    published = publish_raw(stored_settings, make_definition(), [ONE])
    commit = raw_table(stored_settings).history()[0]["noria"]
    assert commit["digest"] == published.digest
    assert commit["attempt"] == "try-1"
    assert commit["code"] == "code"
    assert set(commit["partitions"]) == {ONE}


def test_days_ingested_in_opposite_orders_give_the_same_digests(stored_settings: Settings, tmp_path: Path) -> None:
    digests = []
    for name, order in (("a", [ONE, TWO]), ("b", [TWO, ONE])):
        settings = replace(stored_settings, store=tmp_path / name)
        for key in order:
            land(settings, key)
            publish_raw(settings, make_definition(), [key], attempt=key)
        digests.append(raw_table(settings).digest())
    assert digests[0] == digests[1]


def test_nothing_is_published_without_a_passed_gate(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    manifest = staged_manifest(stored_settings, [ONE])
    for verdict in ("refused", None):
        with pytest.raises(NotGated):
            raw_table(stored_settings).publish(manifest, attempt="x", gate={"verdict": verdict})
    assert not raw_table(stored_settings).exists()


def test_a_refused_partition_stays_out_and_the_published_one_stays(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    land(stored_settings, ONE, make_rows(ONE, 9))
    land(stored_settings, TWO)
    manifest = staged_manifest(stored_settings, [ONE, TWO], "try-2").judged({ONE: "too many rows"}, PASSED)
    raw_table(stored_settings).publish(manifest, attempt="try-2", gate={"verdict": "partly"})
    assert count_rows(stored_settings) == {ONE: 5, TWO: 5}


def test_a_staged_file_that_changed_after_the_gate_is_not_published(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    manifest = staged_manifest(stored_settings, [ONE])
    from_store(stored_settings, manifest.partitions[0].path or "").write_bytes(b"other")
    with pytest.raises(StagedFileChanged, match=ONE):
        raw_table(stored_settings).publish(manifest, attempt="x", gate=PASSED)
    assert not raw_table(stored_settings).exists()


def test_other_columns_replace_the_table_and_old_versions_stay(stored_settings: Settings) -> None:
    for key in (ONE, TWO):
        land(stored_settings, key)
    old = publish_raw(stored_settings, make_definition(), [ONE, TWO])
    columns = {"at": "timestamp", "shop": "string", "number": "string", "days": "number"}
    land(stored_settings, ONE, make_rows(ONE) | {"number": list("abcde")})
    new = publish_raw(stored_settings, make_definition(source={"columns": columns}), [ONE], attempt="try-2")
    assert new.dropped == (TWO,)
    assert count_rows(stored_settings) == {ONE: 5}
    assert count_rows(stored_settings, old.version) == {ONE: 5, TWO: 5}


def test_an_unchanged_partition_that_is_gone_is_noticed(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    land(stored_settings, TWO)
    publish_raw(stored_settings, make_definition(), [ONE])
    manifest = staged_manifest(stored_settings, [ONE, TWO], "try-2")
    columns = {"at": "timestamp", "shop": "string", "number": "integer", "days": "number"}
    publish_raw(stored_settings, make_definition(source={"columns": columns}), [TWO], attempt="try-3")
    with pytest.raises(TableChanged, match=ONE):
        raw_table(stored_settings).publish(manifest, attempt="try-2", gate=PASSED)


PUBLISHER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from include.lake import publishing
from include.lake.staging import read_manifest
from include.lake.table import LakeTable
from include.settings import Settings

settings = Settings.from_environment()
where = sys.argv[1]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "before commit":
    from include.lake.locks import HeldLock
    HeldLock.check = die
elif where == "after commit":
    publishing._remove_staged = die
manifest = read_manifest(settings, {"manifest": sys.argv[2]})
LakeTable(settings, "orders", "raw").publish(manifest, attempt="killed", gate={"verdict": "passed"})
"""


@pytest.mark.parametrize("where", ["before commit", "after commit"])
def test_a_publisher_killed_at_any_point_leaves_a_whole_table_and_can_be_run_again(
    stored_settings: Settings, where: str
) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    land(stored_settings, ONE, make_rows(ONE, 8))
    land(stored_settings, TWO)
    reference = write_manifest(stored_settings, staged_manifest(stored_settings, [ONE, TWO], "try-2"))
    environment = {
        "NORIA_HOME": str(stored_settings.home),
        "NORIA_DATABASE_URL": stored_settings.database_url,
        "PYTHONPATH": str(PROJECT),
    }
    killed = subprocess.run(
        [sys.executable, "-c", PUBLISHER, where, reference["manifest"]], env=environment, check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert count_rows(stored_settings) == ({ONE: 5} if where == "before commit" else {ONE: 8, TWO: 5})
    manifest = read_manifest(stored_settings, reference)
    published = raw_table(stored_settings).publish(manifest, attempt="again", gate=PASSED)
    assert count_rows(stored_settings) == {ONE: 8, TWO: 5}
    assert published.rows == 13
    assert published.version == 2


def test_two_publishers_of_one_partition_wait_for_each_other(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    manifests = [staged_manifest(stored_settings, [ONE], f"try-{i}") for i in range(2)]
    results: list[Published] = []

    def publish(manifest: StagedManifest) -> None:
        results.append(raw_table(stored_settings).publish(manifest, attempt=manifest.attempt, gate=PASSED))

    threads = [threading.Thread(target=publish, args=(manifest,)) for manifest in manifests]
    with advisory_lock(stored_settings.database_url, "lake", "orders", "raw"):
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert results == []
    for thread in threads:
        thread.join(30)
    assert sorted(len(result.changed) for result in results) == [0, 1]
    assert count_rows(stored_settings) == {ONE: 5}


def test_a_lock_held_by_another_is_waited_for_only_so_long(database_url: str) -> None:
    with (
        advisory_lock(database_url, "a", "b"),
        advisory_lock(database_url, "a", "c"),
        pytest.raises(LockUnavailable, match="a/b"),
        advisory_lock(database_url, "a", "b", wait_seconds=0.2),
    ):
        pass
    with advisory_lock(database_url, "a", "b", wait_seconds=0.2) as lock:
        lock.check()


def test_a_lock_whose_connection_broke_is_lost(database_url: str) -> None:
    engine = create_engine(database_url)
    with advisory_lock(database_url, "a") as lock:
        with engine.connect() as other:
            other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database() AND backend_type = 'client backend'"
                )
            )
        with pytest.raises(LockUnavailable, match="connection broke"):
            lock.check()
    engine.dispose()


def test_a_database_that_is_away_is_tried_again_later() -> None:
    with (
        pytest.raises(LockUnavailable, match="cannot be reached"),
        advisory_lock("postgresql+psycopg2://postgres@/x?host=/nowhere", "a"),
    ):
        pass
