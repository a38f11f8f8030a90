"""Rows of a key in files of the store that are no tables: staging, quarantine, training sets, values of the past."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.features.replica import publish_replicas
from include.features.replica_format import POINTER, TABLE, key_text
from include.lake.connections import open_duckdb, quote_name, quote_text
from include.lake.paths import checked_model
from include.lake.rewriting import count_rows
from include.lake.store import store_of
from include.privacy.held import Held
from include.privacy.key import EntityKey
from include.privacy.log_rows import LogKey
from include.settings import Settings

_STAGED, _KEPT, _TRAINING, _PAST = "staging", "quarantine", "training sets", "values of the past"


def find(settings: Settings, key: EntityKey, log: LogKey) -> list[Held]:
    """What these files hold of a key."""
    staged = {path: count for path in _files(settings, key, "staging") if (count := _count(path, key))}
    kept = {
        path: count for path in _files(settings, key, "quarantine") if (count := _refused(settings, path, key, log))
    }
    sets = _training_sets(settings, key)
    past = _past_files(settings, key)
    return [
        Held(place=_STAGED, rows=sum(staged.values()), where=_where(settings, staged), files=len(staged)),
        Held(place=_KEPT, rows=sum(kept.values()), where=_where(settings, kept), files=len(kept)),
        Held(place=_TRAINING, rows=sum(sets.values()), where={path.name: n for path, n in sets.items()}),
        Held(place=_PAST, rows=sum(past.values()), where=_where(settings, past), files=len(past)),
    ]


def erase_staged(settings: Settings, key: EntityKey) -> Held:
    """Remove staged files that hold the key; who was to publish one stages it again."""
    found = {path: count for path in _files(settings, key, "staging") if (count := _count(path, key))}
    store_of(settings).remove(*found)
    return Held(place=_STAGED, rows=sum(found.values()), where=_where(settings, found), files=len(found))


def erase_refused(settings: Settings, key: EntityKey, log: LogKey) -> Held:
    """Take the key's rows out of what gates refused; of a source's own file the copy goes."""
    store = store_of(settings)
    found: dict[Path, int] = {}
    for path in _files(settings, key, "quarantine"):
        count = _refused(settings, path, key, log)
        if not count:
            continue
        found[path] = count
        if path.name == "rows.parquet":
            _rewrite(path, key, log)
            store.deliver(path)
        else:
            store.remove(path)
    return Held(place=_KEPT, rows=sum(found.values()), where=_where(settings, found), files=len(found))


def erase_training_sets(settings: Settings, key: EntityKey) -> Held:
    """Remove the training sets that hold the key: they are made from the lake again, without it."""
    found = _training_sets(settings, key)
    for path in found:
        store_of(settings).remove_folder(path)
    return Held(place=_TRAINING, rows=sum(found.values()), where={path.name: n for path, n in found.items()})


def erase_past(settings: Settings, key: EntityKey) -> Held:
    """Make what servers look up of the past again, from raw rows that the key has left, and remove older files."""
    if not key.definition.history:
        return Held(place=_PAST)
    publish_replicas(settings, key.definition)
    found = _past_files(settings, key, old=True)
    store_of(settings).remove(*found)
    return Held(place=_PAST, rows=sum(found.values()), files=len(found))


def _files(settings: Settings, key: EntityKey, folder: str) -> Iterator[Path]:
    store = store_of(settings)
    for path in store.find(settings.store / folder / checked_model(key.definition.model), "**/*"):
        if path.suffix in {".parquet", ".csv"}:
            store.fetch(path)
            if path.is_file():
                yield path


def _count(path: Path, key: EntityKey) -> int:
    try:
        return count_rows(path, key.columns, key.wanted)
    except (pa.ArrowException, OSError):
        return 1  # a file that cannot be read may hold anything, and is made again


def _refused(settings: Settings, path: Path, key: EntityKey, log: LogKey) -> int:
    if path.name != "rows.parquet":
        return _count_in_source(settings, path, key)
    if "entity" in pq.read_schema(path).names:
        with pq.ParquetFile(path) as file:
            return int(log.wanted(file.read()).sum())
    return _count(path, key)


def _count_in_source(settings: Settings, path: Path, key: EntityKey) -> int:
    """Rows of a source's file, read as it lies there; 1 if that cannot be done."""
    reader = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    texts = "" if path.suffix == ".parquet" else ", all_varchar = true"
    connection = open_duckdb(settings, readable=[path.parent])
    try:
        columns = ", ".join(f"CAST({quote_name(name)} AS VARCHAR) AS {quote_name(name)}" for name in key.columns)
        query = f"SELECT {columns} FROM {reader}({quote_text(str(path))}{texts})"  # nosec B608 # quoted
        rows = connection.sql(query).to_arrow_table()
        return int(key.wanted(rows).to_numpy(zero_copy_only=False).sum())
    except (duckdb.Error, pa.ArrowException, OSError):
        return 1
    finally:
        connection.close()


def _rewrite(path: Path, key: EntityKey, log: LogKey) -> None:
    with pq.ParquetFile(path) as file:
        rows = file.read()
    gone = log.wanted(rows) if "entity" in rows.column_names else key.wanted(rows).to_numpy(zero_copy_only=False)
    partial = path.with_name(f".{path.name}.erasing")
    pq.write_table(rows.filter(pa.array(~gone.astype(bool))), partial, compression="zstd")
    partial.replace(path)


def _training_sets(settings: Settings, key: EntityKey) -> dict[Path, int]:
    store, found = store_of(settings), {}
    for folder in store.folders(settings.store / "training" / checked_model(key.definition.model)):
        parts = store.find(folder, "*.parquet")
        store.fetch(*parts, fixed=True)
        count = sum(_count(path, key) for path in parts)
        if count:
            found[folder] = count
    return found


def _past_files(settings: Settings, key: EntityKey, *, old: bool = False) -> dict[Path, int]:
    """Files of the past that hold values by the key, and how many.

    :param old: only those that are not the newest.
    """
    store, found = store_of(settings), {}
    for name, group in key.definition.history.items():
        root = settings.store / "history" / checked_model(key.definition.model) / name
        for path in store.find(root, "**/*.sqlite"):
            store.fetch(path.parent / POINTER)
            store.fetch(path, fixed=True)
            if not (old and path.name == _newest(path.parent / POINTER)) and (
                count := _past(path, group.by or [], key)
            ):
                found[path] = count
    return found


def _newest(pointer: Path) -> str | None:
    return str(json.loads(pointer.read_text(encoding="utf-8"))["file"]) if pointer.exists() else None


def _past(path: Path, by: Sequence[str], key: EntityKey) -> int:
    """Rows of a file of the past that are by the key; of a part of its columns, whether it names the key at all."""
    if by and set(by) <= set(key.columns):
        wanted = key_text([key.values[name].as_py() for name in by])
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            query = f"SELECT count(*) FROM {TABLE} WHERE key = ?"  # nosec B608 # a constant
            return int(database.execute(query, [wanted]).fetchone()[0])
    if not set(by) & set(key.columns) or key.distinctive is None:
        return 0
    return len(key.distinctive.findall(path.read_bytes().decode("utf-8", "replace")))


def _where(settings: Settings, found: dict[Path, int]) -> dict[str, int]:
    return {path.relative_to(settings.store).as_posix(): count for path, count in found.items()}
