"""The request log's tables in a bucket: servers that share only that; each record once, none lost while it is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.lake.store import store_of
from include.lake.table import LakeTable
from include.registry.results import find_checks
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.find import find_request
from include.serving.request_log.gate import record_refusals
from include.serving.request_log.retention import join_small_files, keep_house
from include.settings import PROJECT, Settings
from tests.object_storage import ObjectStorage, in_bucket, line_to
from tests.serving.log_world import answer, logged, open_log, segment_files, without_suites, write_suite

Server = Callable[[str], Settings]


@pytest.fixture
def server(settings: Settings, s3: ObjectStorage, s3_bucket: str) -> Server:
    """Settings of a server by its name: each has a home of its own, all have the same key for hashes."""
    key = settings.home / "hashing.key"
    key.parent.mkdir(parents=True, exist_ok=True)
    if not key.exists():
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)

    def make(name: str) -> Settings:
        own = replace(without_suites(settings), home=settings.home / name, hashing_key=key)
        return in_bucket(own, s3.environment(s3_bucket))

    return make


def log_requests(settings: Settings, *ids: str) -> None:
    log = open_log(settings)
    for one in ids:
        assert answer(log, one)
    log.close()


def test_a_request_is_found_in_the_bucket_after_compaction(server: Server) -> None:
    here = server("one")
    log_requests(here, "a", "b")
    assert Compactor(here).run()
    assert segment_files(here) == []
    elsewhere = server("two")
    assert logged(elsewhere, "request_id") == ["a", "b"]
    assert [row.row for row in find_request(elsewhere, "m", "b")] == [0]


_COMPACT = """
import sys
from dataclasses import replace
from pathlib import Path
from include.serving.request_log.compaction import Compactor
from include.settings import Settings
from tests.serving.log_world import answer, open_log

name, count = sys.argv[1], int(sys.argv[2])
settings = Settings.from_environment()
compactor = Compactor(settings)
log = open_log(settings)
for number in range(count):
    assert answer(log, f"{name}-{number}")
    compactor.run()
log.close()
for _ in range(20):
    compactor.run()
    if not compactor.done.problems and not compactor.lag_seconds():
        break
    import time
    time.sleep(0.3)
print(compactor.to_document())
"""


def test_servers_that_compact_at_once_lose_nothing_and_double_nothing(
    server: Server, s3: ObjectStorage, s3_bucket: str
) -> None:
    names, count = ("one", "two"), 8
    running = []
    for name in names:
        here = server(name)
        environment = {
            **os.environ, **s3.environment(s3_bucket), "NORIA_HOME": str(here.home),
            "NORIA_EXPECTATIONS": str(here.expectations), "NORIA_HASHING_KEY": str(here.hashing_key),
        }  # fmt: skip
        command = [sys.executable, "-c", _COMPACT, name, str(count)]
        running.append(subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True))  # fmt: skip
    said = [process.communicate(timeout=180)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    reader = server("reader")
    expected = sorted(f"{name}-{number}" for name in names for number in range(count))
    assert logged(reader, "request_id") == expected, said
    assert LakeTable(reader, "m", "inference").version() >= len(names)
    assert all(segment_files(server(name)) == [] for name in names)


def test_while_the_bucket_is_away_records_wait_and_afterwards_nothing_is_missing(
    server: Server, s3: ObjectStorage, s3_bucket: str, impatient: None
) -> None:
    with line_to(s3) as line:
        here = in_bucket(server("one"), s3.environment(s3_bucket, endpoint=line.endpoint))
        log_requests(here, "a")
        compactor = Compactor(here)
        assert compactor.run()
        line.up = 0
        log_requests(here, "b")
        assert compactor.run()
        assert "could not be reached" in compactor.done.problems["m"]
        assert len(segment_files(here)) == 1
        line.up = None
        assert Compactor(here).run()
    assert segment_files(here) == []
    assert logged(server("two"), "request_id") == ["a", "b"]


@pytest.mark.database
def test_refused_batches_lie_in_the_bucket_and_any_server_records_them(server: Server, database_url: str) -> None:
    here, there = (replace(server(name), database_url=database_url) for name in ("one", "two"))
    bounds = {"column": "prediction", "min_value": 0, "max_value": 0.1}
    write_suite(here, "inference", [{"type": "expect_column_values_to_be_between", "kwargs": bounds}])
    log_requests(here, "a", "b")
    compactor = Compactor(here)
    assert compactor.run()
    assert compactor.done.quarantined == 2
    store = store_of(there)
    [document] = store.find(there.store / "quarantine", "*/*/gate.json")
    store.fetch_folder(document.parent)
    names = {path.name for path in document.parent.iterdir()}
    assert names == {"gate.json", "rows.parquet", "unrecorded.json"}
    assert json.loads(document.read_text())["source"] == "request log"
    assert record_refusals(there) == 1
    assert record_refusals(here) == 0
    assert [check.verdict for check in find_checks(here, "m", kind="gate")] == ["refused"]
    keep_house(here, now=datetime.now(UTC) + timedelta(days=400))
    assert store.find(there.store / "quarantine", "*/*/*") == []


def test_house_is_kept_in_the_bucket(server: Server, s3: ObjectStorage, s3_bucket: str) -> None:
    here = server("one")
    compactor = Compactor(here)
    for number in range(3):
        log_requests(here, f"r{number}")
        assert compactor.run()
    files = [key for key in s3.keys(s3_bucket) if "/inference/day=" in key]
    assert len(files) == 3
    assert join_small_files(here, "m", "inference") == 3
    assert keep_house(here)["m"] == 0
    reader = server("two")
    assert logged(reader, "request_id") == [f"r{number}" for number in range(3)]
    assert keep_house(here, now=datetime.now(UTC) + timedelta(days=400))["m"] == 3
    assert logged(server("three"), "request_id") == []
