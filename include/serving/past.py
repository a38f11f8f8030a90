"""Fills a request's columns of the past from a local copy, by key and time: files only, no database, no MLflow.

The data DAG writes the files (:mod:`include.features.replica`). A thread looks for newer ones; requests look up in
the one that is open. Rows that bring a column keep it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from include.errors import NoriaError
from include.features.replica_format import POINTER
from include.lake.paths import history_folder
from include.lake.store import store_of
from include.serving import metrics
from include.serving.past_file import PastFile, PastFileUnusable, PastGroup, open_file
from include.serving.protocols.calls import Call, Row
from include.serving.validation import RequestRefused
from include.settings import Settings
from include.spec.partitions import PartitionCalendar

if TYPE_CHECKING:
    from include.serving.loaded import LoadedModel

Place = tuple[str, str, str]
_log = logging.getLogger(__name__)
HEADER: Final = b"x-noria-history"


class PastLookup:
    """The files of all groups that the loaded versions read.

    :param settings: where the store is.
    :param seconds: pause between two looks for newer files.
    :param clock: the present, for rows that do not say their time.
    """

    def __init__(
        self, settings: Settings, seconds: float, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._clock = clock
        self._files: dict[Place, PastFile | None] = {}
        self._problems: dict[Place, str] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, wanted: Callable[[], Iterable[LoadedModel]]) -> None:
        """Begin to follow the files of the versions that are wanted."""
        self._thread = threading.Thread(target=self._run, args=(wanted,), name="past", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def gives(self, loaded: LoadedModel) -> frozenset[str]:
        """The columns that rows for a version may lack, since they are here."""
        groups = (group for group in loaded.history if self._file(group) is not None)
        return frozenset(name for group in groups for name in group.columns)

    def fill(self, call: Call, loaded: LoadedModel) -> tuple[Call, list[tuple[bytes, bytes]]]:
        """The call with its columns of the past, and headers that say of when they are.

        :raises RequestRefused: 503 if a row lacks one, and there is no file to look it up in.
        """
        headers: list[tuple[bytes, bytes]] = []
        for group in loaded.history:
            if call.has(group.columns.keys()):
                continue
            file = self._file(group)
            if file is None:
                column = next(name for name in group.columns if not call.has({name}))
                raise RequestRefused(
                    503,
                    f"is not sent, and this server has no values of the history {group.group} yet. Send the column, or "
                    f"run {group.model}.data and ask again.",
                    field=column,
                )
            if all(call.has({name}) for name, _ in group.keys):
                call, said = _Filling(group, file, self._clock(), loaded).fill(call)
                headers.append((HEADER, said))
        return call, headers

    # ---- files ------------------------------------------------------------------------------------------------------

    def _file(self, group: PastGroup) -> PastFile | None:
        if group.place not in self._files:
            self._look(group)
        return self._files.get(group.place)

    def _run(self, wanted: Callable[[], Iterable[LoadedModel]]) -> None:
        while not self._stop.is_set():
            try:
                for group in {group.place: group for loaded in wanted() for group in loaded.history}.values():
                    self._look(group)
                    self._tell_age(group)
            except Exception:  # noqa: BLE001 - the thread must outlive everything
                _log.exception("the files of the past could not be followed")
            self._stop.wait(self._seconds)

    def _look(self, group: PastGroup) -> None:
        """Open the newest file, if it is another one; what cannot be read leaves the one that is open."""
        with self._lock:
            old = self._files.get(group.place)
            try:
                folder = history_folder(self._settings, group.model, group.group, group.digest)
                store = store_of(self._settings)
                store.fetch(folder / POINTER)
                self._files[group.place] = open_file(store, folder / POINTER, old)
                self._problems.pop(group.place, None)
            except (NoriaError, PastFileUnusable, OSError) as error:
                self._files.setdefault(group.place, None)
                self._warn(group, str(error))

    def _warn(self, group: PastGroup, problem: str) -> None:
        """Say a problem once, until it is another one."""
        if self._problems.get(group.place) != problem:
            self._problems[group.place] = problem
            _log.warning("history %s of %s: %s", group.group, group.model, problem)

    def _tell_age(self, group: PastGroup) -> None:
        file = self._files.get(group.place)
        if file is not None:
            age = max(0.0, (self._clock() - file.end).total_seconds())
            metrics.HISTORY_AGE.labels(group.model, group.group).set(age)


class _Filling:
    """One group's columns for one call."""

    def __init__(self, group: PastGroup, file: PastFile, now: datetime, loaded: LoadedModel) -> None:
        self._group = group
        self._file = file
        self._now = now
        self._calendar = PartitionCalendar("day", ZoneInfo(loaded.shape.time_zone), date(1970, 1, 1), None)
        self._found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        self._first: str | None = None
        self._timing = "own"
        self._counts = {"own": 0, "late": 0, "early": 0}

    def fill(self, call: Call) -> tuple[Call, bytes]:
        """The filled call, and the header's value: ``group=partition``, with ``;late`` or ``;early`` if it is another
        partition's than a row's own.
        """
        if call.rows is not None:
            rows = [{**self._values(row), **row} for row in call.rows]
            filled = Call(call.count, rows, None, call.request_id, call.options)
        else:
            columns = self._columns(call)
            filled = Call(call.count, None, columns, call.request_id, call.options)
        for timing, count in self._counts.items():
            if count:
                metrics.HISTORY_ROWS.labels(self._group.model, self._group.group, timing).inc(count)
        said = f"{self._group.group}={self._first}" + (f";{self._timing}" if self._timing != "own" else "")
        return filled, said.encode()

    def _columns(self, call: Call) -> dict[str, Any]:
        given = call.columns or {}
        names = [name for name, _ in self._group.keys]
        names += [self._group.event_time] if self._group.event_time in given else []
        lists = [_plain(given[name]) for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)] or [{}] * call.count
        values = [self._values(row) for row in rows]
        missing = [name for name in self._group.columns if name not in given]
        return {**given, **{name: [one[name] for one in values] for name in missing}}

    def _values(self, row: Row) -> Mapping[str, Any]:
        place, timing = self._file.place(self._instant(row))
        self._counts[timing] += 1
        if timing != "own":
            self._timing = timing
        if self._first is None:
            self._first = self._file.partitions[place]
        key = (place, *(row[name] for name, _ in self._group.keys))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._file.values(place, self._group, key[1:])
        return found

    def _instant(self, row: Row) -> datetime:
        """The row's event time; the present if it says none that can be understood."""
        value = row.get(self._group.event_time)
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(value.strip())
            if not isinstance(value, datetime):
                return self._now
            return value if value.tzinfo is not None else self._calendar.instant(value)
        except (ValueError, OverflowError):
            return self._now


def _plain(values: Any) -> Sequence[Any]:
    if isinstance(values, list):
        return values
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    plain: list[Any] = values.tolist()
    return plain
