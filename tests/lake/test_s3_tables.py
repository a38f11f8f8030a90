"""Delta tables in a bucket: the same digests as in a folder, one writer wins, a killed one leaves nothing half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from include.lake import publishing
from include.lake.connections import open_duckdb
from include.lake.digests import file_checksum
from include.lake.publishing import Published, StagedFileChanged, TableChanged
from include.lake.staging import StagedManifest, read_manifest, write_manifest
from include.lake.store import store_of
from include.lake.store_faults import StoreAway
from include.lake.table import LakeTable
from include.settings import PROJECT, Settings
from tests.lake.factories import PASSED, land, make_definition, make_rows, manifest_of, stage_raw
from tests.object_storage import KEY, SECRET, ObjectStorage, in_bucket, line_to

pytestmark = pytest.mark.database
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
Process = Callable[[], Settings]


@pytest.fixture
def process(stored_settings: Settings, s3: ObjectStorage, s3_bucket: str) -> Process:
    """Each call gives the settings of another process: bucket and database are all that they share."""
    return lambda: in_bucket(stored_settings, s3.environment(s3_bucket))


def raw(settings: Settings) -> LakeTable:
    return LakeTable(settings, "orders", "raw")


def deliver_days(settings: Settings, days: list[str] = DAYS, count: int = 5) -> None:
    store_of(settings).deliver(*(land(settings, day, make_rows(day, count)) for day in days))


def staged(settings: Settings, days: list[str] = DAYS, attempt: str = "try-1") -> StagedManifest:
    return manifest_of(stage_raw(settings, make_definition(), days, attempt=attempt), attempt=attempt)


def published(process: Process, days: list[str] = DAYS, attempt: str = "try-1") -> Published:
    """Staged by one process, published by another."""
    here = process()
    reference = write_manifest(here, staged(here, days, attempt))
    there = process()
    return raw(there).publish(read_manifest(there, reference), attempt=attempt, gate=PASSED)


def rows(settings: Settings, version: int | None = None) -> dict[str, int]:
    with open_duckdb(settings) as connection:
        raw(settings).scan(connection, "rows", version=version)
        return dict(connection.execute("SELECT partition, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall())


def test_digests_versions_and_bytes_are_those_of_a_folder(process: Process, stored_settings: Settings) -> None:
    folder = stored_settings
    in_s3, in_folder = [], []
    for count in (5, 8):
        deliver_days(process(), DAYS, count)
        deliver_days(folder, DAYS, count)
        in_s3.append(published(process, attempt=f"try-{count}"))
        in_folder.append(published(lambda: folder, attempt=f"try-{count}"))
    assert in_s3 == in_folder
    assert in_s3[0].digest != in_s3[1].digest
    there = process()
    assert raw(there).partitions() == raw(folder).partitions()
    assert raw(there).partitions(in_s3[0].version) == raw(folder).partitions(in_s3[0].version)
    assert rows(there) == rows(folder) == dict.fromkeys(DAYS, 8)
    assert rows(there, in_s3[0].version) == dict.fromkeys(DAYS, 5)
    files, others = raw(there).files(), raw(folder).files()
    store_of(there).fetch(*files.values())
    assert {key: file_checksum(path) for key, path in files.items()} == {
        key: file_checksum(path) for key, path in others.items()
    }


def test_what_is_published_already_is_unchanged(process: Process) -> None:
    deliver_days(process())
    first = published(process)
    here = process()
    assert {partition.status for partition in staged(here, attempt="try-2").partitions} == {"unchanged"}
    again = published(process, attempt="try-2")
    assert (again.version, again.changed) == (first.version, ())


def test_sources_and_problems_name_the_address_in_the_bucket(process: Process, s3_bucket: str) -> None:
    here = process()
    broken = land(here, DAYS[0])
    broken.write_bytes(b"no parquet")
    store_of(here).deliver(broken)
    found = stage_raw(process(), make_definition(), DAYS[:2])
    address = f"s3://{s3_bucket}/noria/landing/orders"
    assert found[DAYS[0]].source == f"{address}/{DAYS[0]}.parquet"
    assert (found[DAYS[0]].problem or "").startswith(f"{address}/{DAYS[0]}.parquet is not a complete Parquet file")
    assert f"there is no file {address}/{DAYS[1]}.parquet" in (found[DAYS[1]].problem or "")


def test_no_secret_and_no_path_of_this_machine_is_in_the_bucket(
    process: Process, s3: ObjectStorage, s3_bucket: str
) -> None:
    here = process()
    deliver_days(here)
    published(process)
    client = s3.client()
    keys = s3.keys(s3_bucket)
    assert any("_delta_log" in key for key in keys)
    for key in keys:
        body = client.get_object(Bucket=s3_bucket, Key=key)["Body"].read()
        for word in (KEY, SECRET, str(here.store.parent / "noria-store-")):
            assert word.encode() not in body, key


class Unlocked:
    """Stands where the advisory lock is: nothing keeps writers apart but the bucket."""

    def __init__(self, before_the_commit: Callable[[], object]) -> None:
        self.check = before_the_commit

    def __call__(self, *_: str) -> Unlocked:
        return self

    def __enter__(self) -> Unlocked:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_of_two_writers_that_no_lock_keeps_apart_one_is_told(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_days(process())
    published(process, DAYS[2:], "base")
    first, second = process(), process()
    mine, others = (staged(settings, [day], day) for settings, day in ((first, DAYS[0]), (second, DAYS[1])))

    def other_commits() -> None:
        monkeypatch.setattr(publishing, "advisory_lock", Unlocked(lambda: None))
        raw(second).publish(others, attempt="second", gate=PASSED)

    monkeypatch.setattr(publishing, "advisory_lock", Unlocked(other_commits))
    with pytest.raises(TableChanged, match="was changed by another writer"):
        raw(first).publish(mine, attempt="first", gate=PASSED)
    assert sorted(raw(process()).partitions()) == DAYS[1:]
    raw(first).publish(mine, attempt="again", gate=PASSED)
    assert sorted(raw(process()).partitions()) == DAYS


def test_a_staged_object_that_was_changed_after_the_gate_is_not_published(process: Process) -> None:
    here = process()
    deliver_days(here)
    manifest = staged(here)
    [first, *_] = manifest.partitions
    other = process()
    path = other.store / str(first.path)
    store_of(other).fetch(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    store_of(other).deliver(path)
    with pytest.raises(StagedFileChanged, match=DAYS[0]):
        raw(here).publish(manifest, attempt="try-1", gate=PASSED)
    assert not raw(process()).exists()


_KILLED = """
import json, os, signal, sys
from include.lake import bucket, publishing
from include.lake.staging import read_manifest
from include.lake.table import LakeTable
from include.settings import Settings

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def publish(place):
    if place == "before the files":
        publishing._adopt = die
    elif place == "before the commit":
        publishing.DeltaTable.create_write_transaction = die
    elif place == "after the commit":
        publishing._remove_staged = die
    settings = Settings.from_environment()
    manifest = read_manifest(settings, json.loads(sys.argv[1]))
    LakeTable(settings, "orders", "raw").publish(manifest, attempt=place, gate={"verdict": "passed", "page": None})

def found():
    settings = Settings.from_environment()
    table = LakeTable(settings, "orders", "raw")
    print(json.dumps([sorted(table.partitions()), table.dataset().count_rows()]), flush=True)

def in_child(work, *given):
    # A fork of what has only imported, as Airflow forks steps.
    child = os.fork()
    if not child:
        try:
            work(*given)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for place in ("before the files", "before the commit", "after the commit", "nowhere"):
    code = in_child(publish, place)
    print(json.dumps([place, code]), flush=True)
    in_child(found)
"""


def test_killed_anywhere_the_table_stays_readable_and_the_next_try_finishes(
    process: Process, s3: ObjectStorage, s3_bucket: str, stored_settings: Settings
) -> None:
    deliver_days(process())
    published(process, DAYS[:1], "base")
    here = process()
    reference = write_manifest(here, staged(here, DAYS[1:], "killed"))
    environment = {**os.environ, **s3.environment(s3_bucket), "NORIA_DATABASE_URL": stored_settings.database_url}
    command = [sys.executable, "-c", _KILLED, json.dumps(reference)]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True, timeout=90
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["before the files", -9], [DAYS[:1], 5],
        ["before the commit", -9], [DAYS[:1], 5],
        ["after the commit", -9], [DAYS, 15],
        ["nowhere", 0], [DAYS, 15],
    ], done.stderr  # fmt: skip
    assert [key for key in s3.keys(s3_bucket, "noria/staging") if key.endswith(".parquet")] == []


def test_a_bucket_that_goes_away_in_mid_publish_publishes_nothing(
    process: Process, stored_settings: Settings, s3: ObjectStorage, s3_bucket: str, impatient: None
) -> None:
    deliver_days(process())
    published(process, DAYS[:1], "base")
    with line_to(s3) as line:
        here = in_bucket(stored_settings, s3.environment(s3_bucket, endpoint=line.endpoint))
        manifest = staged(here, DAYS[1:])
        table = raw(here)
        assert table.exists()
        line.up = 0
        with pytest.raises(StoreAway):
            table.publish(manifest, attempt="try-1", gate=PASSED)
        assert sorted(raw(process()).partitions()) == DAYS[:1]
        line.up = None
        table.publish(manifest, attempt="try-2", gate=PASSED)
    assert sorted(raw(process()).partitions()) == DAYS


def test_a_refused_partition_is_quarantined_with_its_data(process: Process, tmp_path: Path) -> None:
    from include.lake.quarantine import quarantine_partition

    here = process()
    deliver_days(here, DAYS[:1])
    broken = land(here, DAYS[1])
    broken.write_bytes(b"no parquet")
    store_of(here).deliver(broken)
    found = stage_raw(here, make_definition(), DAYS[:2])
    there = process()
    rows_of = replace(found[DAYS[0]], status="refused", problem="too few rows")
    folders = [quarantine_partition(there, "orders", one, {"stage": "raw"}) for one in (rows_of, found[DAYS[1]])]
    reader = process()
    for folder, name in zip(folders, ("rows.parquet", "source.parquet"), strict=True):
        seen = reader.store / folder.relative_to(there.store)
        store_of(reader).fetch_folder(seen)
        assert sorted(path.name for path in seen.iterdir()) == ["gate.json", name]
    assert (reader.store / folders[1].relative_to(there.store) / "source.parquet").read_bytes() == b"no parquet"
