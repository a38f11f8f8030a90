"""Brings the segments' records into the Delta tables ``inference`` and ``feedback``: each record once, none lost.

However often it is killed, and whoever else compacts: rows and the segments' positions are one commit; what is
committed is known to the table; a segment is removed only when it is closed and all of it is on the disk elsewhere.
Works without database and MLflow. A model whose tables cannot be written waits without holding the others up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from include.hashing import Hashing
from include.lake.paths import checked_model
from include.lake.table import LakeTable
from include.serving.request_log.batches import Logged, Record, Tables, feedback_table, inference_tables
from include.serving.request_log.commits import OpenedTable, repair, settle, written_alone
from include.serving.request_log.gate import LogGate, batch_key, quarantine_batch, release_batch
from include.serving.request_log.reader import Reader, Unread
from include.serving.request_log.records import SHADOW
from include.serving.request_log.retention import JOIN_COMMITS, join_small_files, keep_house
from include.serving.request_log.segments import log_folder
from include.serving.request_log.tables import SCHEMAS, LogTable
from include.settings import Settings

_LOCK: Final = "compactor.lock"
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 60.0
_log = logging.getLogger(__name__)


@dataclass
class Compacted:
    """What compaction has done since its process began.

    :param rows: rows committed, by table.
    :param quarantined: rows of refused batches.
    :param damaged: lines and records that could not be understood.
    :param commits: number of commits, by model and table, since the table's small files were last joined.
    :param problems: by model, why its tables cannot be written now.
    :param asked: by model, when the newest request came that named no version (microseconds since 1970).
    """

    rows: dict[LogTable, int] = field(default_factory=lambda: {"inference": 0, "feedback": 0})
    quarantined: int = 0
    damaged: int = 0
    removed: int = 0
    commits: dict[tuple[str, LogTable], int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Wait:
    until: float
    pause: float


class Compactor:
    """Compacts the log of one home; several may run, one at a time works. Other homes may share the store.

    :param settings: home, store and expectations.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = log_folder(settings.home)
        self._reader = Reader(self._folder)
        self._gate = LogGate(settings)
        self._hashing: Hashing | None = None
        self._sound: set[tuple[str, LogTable]] = set()
        self._waits: dict[str, _Wait] = {}
        self._odd = 0
        self.done = Compacted()

    def run(self) -> bool:
        """Compact all that is there now; False if another compactor is at work."""
        with compactor_lock(self._settings) as held:
            if held:
                while self._pass():
                    pass
                self.done.removed += self._reader.remove_finished()
                self.done.damaged = self._reader.damaged + self._odd
            return held

    def lag_seconds(self) -> float:
        """Age of the oldest record that is in no table yet; 0 if there is none."""
        oldest = self._reader.oldest_open_us()
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6)

    def join_small_files(self) -> None:
        """Join the small files of the tables that many commits went to since the last time."""
        for (model, table), commits in list(self.done.commits.items()):
            if commits >= JOIN_COMMITS:
                with compactor_lock(self._settings) as held:
                    if held:
                        self._join(model, table)

    def _join(self, model: str, table: LogTable) -> None:
        try:
            join_small_files(self._settings, model, table)
        except (DeltaError, OSError) as error:  # another server may have joined them just now
            _log.warning("the small files of the %s table of %s are joined later: %s", table, model, error)
        self.done.commits[model, table] = 0

    def keep_house(self) -> None:
        """Retention and sweeping; see :func:`include.serving.request_log.retention.keep_house`."""
        with compactor_lock(self._settings) as held:
            if held:
                keep_house(self._settings)

    def to_document(self) -> dict[str, Any]:
        """What it has done, as JSON."""
        return {
            "rows": dict(self.done.rows),
            "quarantined": self.done.quarantined,
            "damaged": self.done.damaged,
            "segments_removed": self.done.removed,
            "problems": dict(self.done.problems),
            "lag_seconds": round(self.lag_seconds(), 1),
        }

    def _pass(self) -> bool:
        now = time.monotonic()
        waiting = {model for model, wait in self._waits.items() if now < wait.until}
        portion = self._reader.read(waiting)
        failed: set[str] = set()
        for (model, table), unread in portion.records.items():
            try:
                if model not in failed:
                    self._compact(model, table, unread)
                    self._waits.pop(model, None)
                    self.done.problems.pop(model, None)
            except Exception as error:  # noqa: BLE001 - whatever a model's records do, the others go on
                failed.add(model)
                self._put_off(model, error)
        self._reader.finished(portion, {*waiting, *failed})
        return portion.more

    def _put_off(self, model: str, error: Exception) -> None:
        old = self._waits.get(model)
        pause = min(old.pause * 2, _LONGEST_PAUSE) if old else _FIRST_PAUSE
        self._waits[model] = _Wait(time.monotonic() + pause, pause)
        self._sound -= {(model, table) for table in SCHEMAS}
        self.done.problems[model] = f"{type(error).__name__}: {error}"
        _log.warning("the log of %s waits in its segments (next try in %.0f s): %s", model, pause, error)

    def _compact(self, model: str, table: LogTable, unread: Sequence[Unread]) -> None:
        self._make_sound(checked_model(model), table)
        opened = OpenedTable(self._settings, model, table)
        starts = {segment: opened.position(segment) for segment in dict.fromkeys(item.segment for item in unread)}
        new = [item.read() for item in unread if item.end > starts[item.segment]]
        if not new:
            return
        ends = {item.segment: item.end for item in new}  # the last of each segment stays
        made = self._tables(table, new, opened.types)
        for item, problem in made.odd:
            self._odd += 1
            _log.error("a record of %s at %s:%d is left out: %s", model, item.segment, item.end, problem)
        rows, refused = self._accepted(model, table, made, {segment: starts[segment] for segment in ends})
        opened.append(rows, ends, {"rows": rows.num_rows, "refused": refused, "odd": len(made.odd)})
        self.done.rows[table] += rows.num_rows
        self.done.quarantined += refused
        self.done.commits[model, table] = self.done.commits.get((model, table), 0) + 1
        if table == "inference":
            asked = [item.record["at"] for item in new if _is_callers(item.record)]
            if asked:
                self.done.asked[model] = max(self.done.asked.get(model, 0), *asked)

    def _make_sound(self, model: str, table: LogTable) -> None:
        """Once, and again after each failure: the newest commit is whole and on the disk, whoever made it.

        Its maker may have been killed, or met a full disk, between commit and disk.
        """
        if (model, table) not in self._sound:
            folder = LakeTable(self._settings, model, table).address.folder
            with written_alone(folder):
                repair(folder)
                settle(folder)
            self._sound.add((model, table))

    def _tables(self, table: LogTable, new: Sequence[Logged], types: Mapping[str, pa.DataType]) -> Tables:
        if table == "feedback":
            return feedback_table(new)
        if self._hashing is None:
            self._hashing = Hashing.of(self._settings)
        return inference_tables(new, self._hashing, types)

    def _accepted(self, model: str, table: LogTable, made: Tables, starts: Mapping[str, int]) -> tuple[pa.Table, int]:
        """The rows that the gate lets pass, each version judged alone, and the number of those that it refused."""
        accepted = [SCHEMAS[table].empty_table()]
        refused = 0
        for version, rows in made.by_version.items():
            judged, failures = _split(table, rows)
            key = batch_key(model, table, version, starts)
            sifted = self._gate.sift(model, table, judged, f"{key} (version {version})" if version else key)
            accepted += [failures, *sifted.accepted]
            if sifted.verdict is not None:
                held = pa.concat_tables(sifted.refused)
                folder = quarantine_batch(self._settings, model, table, key, held, sifted.verdict)
                _log.error("%d rows of %s are in %s: %s", held.num_rows, model, folder, sifted.verdict.reason)
                refused += held.num_rows
            else:
                release_batch(self._settings, model, key)
        return pa.concat_tables(accepted, promote_options="default"), refused


def _is_callers(record: Record) -> bool:
    """Whether it is of a request that a caller made, and not of a version's number by an operator, or by ourselves."""
    return record["kind"] != SHADOW and not record.get("asked") and isinstance(record.get("at"), int)


def _split(table: LogTable, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows with an answer, which the gate judges, and failures, which are evidence as they are."""
    import pyarrow.compute as pc

    if table == "feedback":
        return rows, rows.slice(0, 0)
    answers = pc.is_null(rows["error"])
    return rows.filter(answers), rows.filter(pc.invert(answers))


@contextmanager
def compactor_lock(settings: Settings) -> Iterator[bool]:
    """The right to change the log's tables; False if another process has it."""
    folder = log_folder(settings.home)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
