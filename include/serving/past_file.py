"""One file of the past, open for looking up: read-only SQLite whose pages all processes of a machine share."""

from __future__ import annotations

import json
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from include.features.replica_format import TABLE, key_text
from include.lake.store import Store

Timing = Literal["own", "late", "early"]
_MAPPED_BYTES: Final = 1 << 30


class PastFileUnusable(Exception):
    """The pointer or its file cannot be read; the text says why."""


@dataclass(frozen=True, kw_only=True)
class PastGroup:
    """What a version says of a group that it reads.

    :param model: the model that declares it.
    :param digest: of the declaration.
    :param keys: the row's key columns and their types.
    :param columns: the columns that the version reads, and their types.
    """

    model: str
    group: str
    digest: str
    event_time: str
    keys: tuple[tuple[str, str], ...]
    columns: Mapping[str, str]

    @property
    def place(self) -> tuple[str, str, str]:
        """What its file goes by."""
        return self.model, self.group, self.digest

    @property
    def nothing(self) -> dict[str, Any]:
        """The values of a key without a past."""
        return {name: 0 if kind == "integer" else None for name, kind in self.columns.items()}


def groups_of(description: Mapping[str, Any]) -> tuple[PastGroup, ...]:
    """The groups that a version reads.

    :param description: its ``features.json``.
    """
    return tuple(
        PastGroup(
            model=group["model"],
            group=group["group"],
            digest=group["digest"],
            event_time=group["event_time"],
            keys=tuple(group["keys"].items()),
            columns=dict(group["columns"]),
        )
        for group in description.get("history") or ()
    )


def open_file(store: Store, pointer: Path, old: PastFile | None) -> PastFile:
    """The file that a pointer names; the old one if it is the same.

    :param store: where the file is fetched from.
    :raises PastFileUnusable: if there is none, or it cannot be read.
    """
    try:
        document = json.loads(pointer.read_text(encoding="utf-8"))
        if old is not None and old.digest == document["digest"]:
            return old
        file = pointer.with_name(Path(document["file"]).name)
        store.fetch(file, fixed=True)
        return PastFile(file, document)
    except FileNotFoundError as error:
        raise PastFileUnusable(f"there is no {error.filename}; its model's data DAG writes it") from error
    except (ValueError, KeyError, TypeError, IndexError, sqlite3.Error) as error:
        raise PastFileUnusable(f"{pointer} cannot be used ({type(error).__name__}: {error})") from error


class PastFile:
    """An open file. Safe for several threads.

    :param document: the pointer's content.
    """

    def __init__(self, file: Path, document: Mapping[str, Any]) -> None:
        self.digest: str = document["digest"]
        self.partitions = [one["key"] for one in document["partitions"]]
        """Keys of the partitions that it answers for, oldest first."""
        self._starts = [datetime.fromisoformat(one["start"]).astimezone(UTC) for one in document["partitions"]]
        self.end = datetime.fromisoformat(document["partitions"][-1]["end"]).astimezone(UTC)
        """The end of the newest of them."""
        if not file.is_file():
            raise FileNotFoundError(2, "No such file", str(file))
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        self._database.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
        self._database.execute(f"SELECT key FROM {TABLE} LIMIT 1").fetchone()  # nosec B608 # a damaged file says so now

    def place(self, instant: datetime) -> tuple[int, Timing]:
        """Number of the partition that an instant lies in, or of the nearest, and which of the two it is."""
        if instant >= self.end:
            return len(self._starts) - 1, "late"
        place = bisect_right(self._starts, instant.astimezone(UTC)) - 1
        return (place, "own") if place >= 0 else (0, "early")

    def values(self, place: int, group: PastGroup, key: Sequence[Any]) -> dict[str, Any]:
        """The group's columns for a key in a partition."""
        typed = [_typed(value, kind) for value, (_, kind) in zip(key, group.keys, strict=True)]
        if None in typed:
            return group.nothing
        from include.lake.connections import quote_name

        items = ", ".join(quote_name(name) for name in group.columns)
        with self._lock:
            found = self._database.execute(
                f"SELECT {items} FROM {TABLE} WHERE partition = ? AND key = ?",  # nosec B608 # names are quoted
                (place, key_text(typed)),
            ).fetchone()
        return group.nothing if found is None else dict(zip(group.columns, found, strict=True))


def _typed(value: Any, kind: str) -> Any:
    """A key's value as it is in the file; None for what the model will refuse or has no past."""
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    wanted = {"string": str, "integer": int, "boolean": bool}[kind]
    return value if type(value) is wanted else None
