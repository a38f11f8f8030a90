"""Rows against sources: a published partition holds its source's rows once, as its gate accepted them, whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from include.lake.digests import RowsDigest
from tests.chaos.case import Breach
from tests.chaos.invariants.scene import Scene

_GATED = ("raw", "features", "predictions", "scores")
_OF_A_SOURCE = ("raw", "features", "scores")
_ACCEPTING = ("passed", "partly")
# Others leave out ``_row``, which says no more than the order; of predictions it is part of the digest.
_NUMBERED = "predictions"
_OWN = frozenset({"_row", "partition", "_digest", "_inputs"})


@dataclass(frozen=True)
class Published:
    """A partition of a table's newest version, as the Delta log names it."""

    table: str
    key: str
    digest: str
    rows: int
    file: Path

    def __str__(self) -> str:
        return f"{self.table} {self.key}"


def check(scene: Scene) -> Iterator[Breach]:
    """Every table of the model."""
    for name in (*_GATED, "inference", "feedback"):
        folder = scene.table(name)
        if not (folder / "_delta_log").exists():
            continue
        yield from _log(name, folder)
        try:
            table = DeltaTable(str(folder))
        except Exception as error:  # noqa: BLE001 - whatever makes it unreadable is the breach
            yield Breach("rows/log", f"the table {name} cannot be read: {error}")
            continue
        files = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        lost = [file["path"] for file in files if not (folder / file["path"]).is_file()]
        if lost:
            yield Breach("rows/log", f"the table {name} names files that are not there: {lost}")
        elif name in _GATED:
            published = [_published(name, folder, file) for file in files]
            yield from _gated(scene, name, table, published)
            yield from _partitions(scene, published)


def _log(name: str, folder: Path) -> Iterator[Breach]:
    """Commits follow each other without a gap, and each is whole."""
    commits = sorted(path for path in (folder / "_delta_log").glob("*.json") if path.stem.isdigit())
    numbers = [int(path.stem) for path in commits]
    if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
        yield Breach("rows/log", f"the commits of {name} have gaps: {numbers}")
    for path in commits:
        try:
            [json.loads(line) for line in path.read_text().splitlines()]
        except ValueError:
            yield Breach("rows/log", f"commit {path.name} of {name} is half written")


def _published(name: str, folder: Path, file: dict[str, Any]) -> Published:
    key, digest = file["partition.partition"], file["partition._digest"]
    return Published(name, key, digest, file["num_records"], folder / file["path"])


def _gated(scene: Scene, name: str, table: DeltaTable, published: list[Published]) -> Iterator[Breach]:
    """What is published was accepted by a gate, and is not what a gate has refused."""
    for commit in table.history():
        told = commit.get("noria")
        if told and told.get("partitions") and told.get("verdict") not in _ACCEPTING:
            yield Breach("rows/gate", f"version {commit['version']} of {name} was published as {told.get('verdict')!r}")
    refused = set()
    for manifest in (scene.settings.store / "staging" / scene.model / name).glob("*/gated.json"):
        entries = json.loads(manifest.read_text())["partitions"]
        refused |= {(entry["key"], entry["digest"]) for entry in entries if entry["status"] == "refused"}
    for partition in published:
        if (partition.key, partition.digest) in refused:
            yield Breach("rows/gate", f"{partition} is published with the rows that its gate refused")


def _partitions(scene: Scene, published: list[Published]) -> Iterator[Breach]:
    for key, count in Counter(partition.key for partition in published).items():
        if count > 1:
            yield Breach("rows/once", f"{published[0].table} {key} is published {count} times")
    sound: dict[Path, Any] = scene.known.setdefault("rows", {})
    for partition in published:
        source = _source(scene, partition)
        stamp = (partition.digest, source and (source.stat().st_mtime_ns, source.stat().st_size))
        if sound.get(partition.file) == stamp:
            continue
        breaches = list(_content(partition)) or list(_against(source, partition) if source else ())
        yield from breaches
        if not breaches:
            sound[partition.file] = stamp


def _source(scene: Scene, partition: Published) -> Path | None:
    if scene.source is None or partition.table not in _OF_A_SOURCE:
        return None
    file = scene.source / f"{partition.key}.parquet"
    return file if file.exists() else None


def _content(partition: Published) -> Iterator[Breach]:
    """The file's rows are as many as recorded, each once, and have the recorded digest."""
    try:
        rows = pq.read_table(partition.file)
    except (OSError, pa.ArrowInvalid) as error:
        yield Breach("rows/log", f"the file of {partition} cannot be read: {error}")
        return
    if rows.num_rows != partition.rows:
        yield Breach("rows/count", f"{partition} has {rows.num_rows} rows, {partition.rows} are recorded")
    if partition.table == _NUMBERED:
        rows = rows.rename_columns(["row_number" if name == "_row" else name for name in rows.column_names])
    digest = RowsDigest(rows.schema)
    for batch in rows.to_batches():
        digest.update(batch)
    if digest.hexdigest() != partition.digest:
        yield Breach("rows/digest", f"the rows of {partition} do not have the recorded digest")


def _against(source: Path, partition: Published) -> Iterator[Breach]:
    """The rows of table and source are the same, counted, in the columns that both have."""
    with duckdb.connect() as connection:
        landed, kept = (
            {row[0] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()}
            for file in (source, partition.file)
        )
        names = ", ".join(f'"{name}"' for name in sorted((landed & kept) - _OWN))
        here, there = (f"SELECT {names} FROM read_parquet('{file}')" for file in (partition.file, source))
        more, less = (
            connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchall()[0][0]
            for one, other in ((here, there), (there, here))
        )
    if more or less:
        yield Breach("rows/source", f"{partition} has {more} rows that its source has not, and lacks {less}")
