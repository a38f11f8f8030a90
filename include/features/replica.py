"""What servers look up of the past: for each group one read-only SQLite file, and a small pointer to the newest.

The file holds the values of all keys for the newest partitions and the ones that follow, as they are computed for
training (:mod:`include.features.history`). It is written whole and never changed; the pointer is replaced in one
rename. So a server needs nothing but files, shares their pages with its other processes, and reads either the old or
the new.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from include.features.history import Past, history_digest
from include.features.replica_format import POINTER, TABLE, key_text
from include.lake.connections import open_duckdb, query_batches, quote_name
from include.lake.digests import inputs_digest
from include.lake.locks import advisory_lock
from include.lake.paths import history_folder
from include.lake.store import store_of
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.histories import History, histories
from include.spec.partitions import Partition

REPLICA_FORMAT: Final = 1
BEFORE: Final = 7
"""Partitions up to the newest that are held: requests that come late, or name an earlier time."""
AHEAD: Final = 6
"""Partitions after it at most: a past that is known late is there for more than the next one."""
_KEPT_SECONDS: Final = 3600.0
_SQL_TYPES: Final = {"integer": "INTEGER", "number": "REAL"}
_log = logging.getLogger(__name__)


def publish_replicas(settings: Settings, definition: Definition) -> list[str]:
    """Bring the files of the groups that this model declares up to date with its raw table.

    :returns: names of the groups whose file was written; what is unchanged is not written again.
    """
    own = [history for history in histories(definition) if history.owner.model == definition.model]
    return [history.name for history in own if _publish(settings, history)]


def _publish(settings: Settings, history: History) -> bool:
    folder = history_folder(settings, history.owner.model, history.name, history_digest(history))
    store = store_of(settings)
    with advisory_lock(settings.database_url, "history", history.owner.model, history.name) as lock:
        past = Past.of(settings, history)
        partitions = past.windows.answerable(before=BEFORE, ahead=AHEAD)
        digest = inputs_digest(format=REPLICA_FORMAT, partitions=[[one.key, past.made_from(one)] for one in partitions])
        pointer = folder / POINTER
        store.fetch(pointer)
        if not partitions or _digest_of(pointer) == digest:
            return False
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{digest}.sqlite"
        _write(settings, past, partitions, file)
        store.deliver(file)
        lock.check()
        _point(pointer, file, digest, history, partitions)
        store.deliver(pointer)
        _remove_old(settings, folder, file)
    _log.info("history %s of %s: %s to %s", history.name, history.owner.model, partitions[0].key, partitions[-1].key)
    return True


def _digest_of(pointer: Path) -> str | None:
    try:
        found = json.loads(pointer.read_text(encoding="utf-8")).get("digest")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _point(pointer: Path, file: Path, digest: str, history: History, partitions: Sequence[Partition]) -> None:
    document = {
        "digest": digest,
        "file": file.name,
        "declared": history.to_document(),
        "partitions": [
            {"key": one.key, "start": one.start.isoformat(), "end": one.end.isoformat()} for one in partitions
        ],
    }
    partial = pointer.with_name(f".{pointer.name}.{uuid.uuid4().hex[:8]}")
    partial.write_text(json.dumps(document, indent=1), encoding="utf-8")
    partial.replace(pointer)


def _write(settings: Settings, past: Past, partitions: Sequence[Partition], file: Path) -> None:
    """All keys' values for these partitions, into a file that appears whole."""
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    connection = open_duckdb(settings, threads=past.history.owner.training.resources.cpu)
    try:
        past.compute(connection, "past", partitions)
        chosen = ", ".join(quote_name(name) for name in ("_key", *past.history.by, *past.columns))
        batches = query_batches(connection, f"SELECT {chosen} FROM past")  # nosec B608 # names are quoted
        _fill(partial, past.columns, _rows(batches, past, [one.key for one in partitions]))
        partial.replace(file)
    finally:
        connection.close()
        partial.unlink(missing_ok=True)


def _rows(batches: Iterable[Any], past: Past, keys: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    places, width = {key: place for place, key in enumerate(keys)}, len(past.history.by)
    for batch in batches:
        for key, *values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield (places[key], key_text(values[:width]), *values[width:])


def _fill(path: Path, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    items = ", ".join(f"{quote_name(name)} {_SQL_TYPES[kind]}" for name, kind in columns.items())
    marks = ", ".join("?" * (2 + len(columns)))
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode = OFF")  # nobody reads it before it is whole
        database.execute(
            f"CREATE TABLE {TABLE} (partition INTEGER, key TEXT, {items}, PRIMARY KEY (partition, key)) WITHOUT ROWID"
        )
        database.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", rows)  # nosec B608 # only question marks
        database.commit()
    finally:
        database.close()


def _remove_old(settings: Settings, folder: Path, newest: Path) -> None:
    """Remove files that no server opens any more; who has one open keeps it until it is closed."""
    store = store_of(settings)
    for path in store.find(folder, "*.sqlite"):
        if path.name != newest.name and time.time() - store.touched(path) > _KEPT_SECONDS:
            store.remove(path)
