"""Manifests, references, paths, quarantine, cleaning, and the hardened DuckDB."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import duckdb
import pytest

from include.lake.cleaning import clean_staging
from include.lake.connections import open_duckdb
from include.lake.paths import UnsafeName, checked_key, from_store, staging_folder, table_folder
from include.lake.quarantine import quarantine_partition
from include.lake.staging import ManifestUnreadable, StagedPartition, new_manifest, read_manifest, write_manifest
from include.settings import Settings
from tests.lake.factories import AS_OF, land, make_definition, stage_raw


def partition(key: str, status: str, **values: object) -> StagedPartition:
    return StagedPartition(key=key, status=status, **values)  # type: ignore[arg-type]


def test_a_manifest_is_read_back_as_it_was_written(settings: Settings) -> None:
    partitions = [
        partition("2024-01-02", "missing", problem="not there"),
        partition("2024-01-01", "staged", rows=3, digest="d", notes=("a", "b")),
    ]
    manifest = new_manifest(model="orders", table="raw", attempt="a b/c:+", as_of=AS_OF, partitions=partitions)
    reference = write_manifest(settings, manifest)
    assert read_manifest(settings, reference) == manifest
    assert [p.key for p in manifest.partitions] == ["2024-01-01", "2024-01-02"]
    assert (reference["rows"], reference["partitions"], reference["missing"]) == (3, 1, ["2024-01-02"])
    assert not Path(reference["manifest"]).is_absolute()


def test_the_gate_refuses_partitions_in_a_manifest_of_its_own(settings: Settings) -> None:
    staged = [partition("2024-01-01", "staged", rows=3), partition("2024-01-02", "staged", rows=4)]
    manifest = new_manifest(model="orders", table="raw", attempt="x", as_of=AS_OF, partitions=staged)
    first = write_manifest(settings, manifest)
    gated = manifest.judged({"2024-01-01": "bad"}, {"verdict": "partly"})
    second = write_manifest(settings, gated, "gated.json")
    assert read_manifest(settings, first).gate is None
    assert read_manifest(settings, second).of_status("refused")[0].problem == "bad"
    assert (second["refused"], second["rows"]) == (["2024-01-01"], 4)
    assert first["digest"] != second["digest"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"partitions": [{}]}'])
def test_a_manifest_that_cannot_be_read_says_so(settings: Settings, content: str | None) -> None:
    path = settings.store / "m.json"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(ManifestUnreadable, match=r"m\.json"):
        read_manifest(settings, {"manifest": "m.json"})


def test_references_cannot_leave_the_store(settings: Settings) -> None:
    for path in ("../x.json", "/etc/passwd", "a/../../x"):
        with pytest.raises(UnsafeName):
            from_store(settings, path)


@pytest.mark.parametrize("key", ["2013-10", "2013-10-01", "2013-11-03T01+1", "00ff" * 4, "1" * 16])
def test_keys_are_of_time_or_name_a_training(key: str) -> None:
    assert checked_key(key) == key


@pytest.mark.parametrize("key", ["", "..", "2013-10-01/x", "00ff" * 4 + "0", "00FF" * 4, "00ff", "2013-10-01x"])
def test_keys_of_any_other_form_are_refused(key: str) -> None:
    with pytest.raises(UnsafeName, match="partition key"):
        checked_key(key)


@pytest.mark.parametrize("model", ["../x", "A", "", "a/b", "a" * 64])
def test_models_with_path_tricks_are_refused(settings: Settings, model: str) -> None:
    with pytest.raises(UnsafeName):
        table_folder(settings, model, "raw")


def test_attempts_have_folders_of_their_own_whatever_their_names(settings: Settings) -> None:
    names = ["a/b", "a-b", "..", "", "x" * 500, "manual__2026-01-01T00:00:00+00:00"]
    folders = {staging_folder(settings, "orders", "raw", name) for name in names}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {settings.store / "staging" / "orders" / "raw"}


def test_a_refused_partition_is_kept_with_its_reason(settings: Settings) -> None:
    path = land(settings, "2024-01-01", {"other": [1]})
    refused = stage_raw(settings, make_definition(), ["2024-01-01"])["2024-01-01"]
    for _ in range(2):
        folder = quarantine_partition(settings, "orders", refused, {"verdict": "refused"})
    assert (folder / "source.parquet").read_bytes() == path.read_bytes()
    assert "lacks" in json.loads((folder / "gate.json").read_text())["problem"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["2024-01-01"]


def test_staged_rows_that_a_gate_refuses_are_kept_as_rows(settings: Settings) -> None:
    land(settings, "2024-01-01")
    staged = stage_raw(settings, make_definition(), ["2024-01-01"])["2024-01-01"]
    folder = quarantine_partition(settings, "orders", staged.refused("late"), {})
    assert (folder / "rows.parquet").is_file()


def test_only_stale_staging_is_cleaned(settings: Settings) -> None:
    old, new = (staging_folder(settings, "orders", "raw", name) for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "x.parquet").touch()
    for path in (old / "x.parquet", old):
        os.utime(path, (time.time() - 30 * 86_400,) * 2)
    assert clean_staging(settings, "orders") == [old]
    assert new.is_dir()
    assert not old.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/noria-escape.csv'",
        "ATTACH '/tmp/noria-escape.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT * FROM somewhere",
    ],
)
def test_duckdb_reaches_nothing_that_it_was_not_given(settings: Settings, statement: str) -> None:
    somewhere = 1  # a Python variable is no table either
    with pytest.raises(duckdb.Error):
        open_duckdb(settings).execute(statement)
    assert somewhere


def test_duckdb_reads_only_the_folders_that_it_was_given(settings: Settings, tmp_path: Path) -> None:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("a\n1\n")
    connection = open_duckdb(settings, readable=[tmp_path / "inside"], memory="1Gi", threads=1)
    assert connection.execute(f"SELECT a FROM read_csv('{tmp_path}/inside/x.csv')").fetchall() == [(1,)]
    for path in (f"{tmp_path}/outside/x.csv", f"{tmp_path}/inside/../outside/x.csv"):
        with pytest.raises(duckdb.Error):
            connection.execute(f"SELECT a FROM read_csv('{path}')")


def test_duckdb_works_in_utc_and_spills_below_the_store(settings: Settings) -> None:
    connection = open_duckdb(settings)
    zone, folder = connection.execute(
        "SELECT current_setting('TimeZone'), current_setting('temp_directory')"
    ).fetchall()[0]
    assert zone == "UTC"
    assert Path(folder).is_relative_to(settings.store)
