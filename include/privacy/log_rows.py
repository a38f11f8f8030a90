"""A key's rows in the request log: in its segments, and in the tables ``inference`` and ``feedback``.

The log keeps entities as keyed hashes, and personal columns too; both are made of the key again and compared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from include.errors import TryAgain
from include.hashing import Hashing
from include.lake.table import LakeTable
from include.privacy.held import Held
from include.privacy.key import EntityKey, equal
from include.serving.request_log.commits import settle, written_alone
from include.serving.request_log.compaction import Compactor, compactor_lock
from include.serving.request_log.segments import DAMAGED, list_segments, log_folder
from include.serving.request_log.tables import DAY, LogTable, dataset, input_names
from include.serving.routing import entity_key
from include.settings import Settings

_PAUSE_SECONDS: Final = 0.2
_LOCK_SECONDS: Final = 60.0
_KINDS: Final = ("string", "integer", "number", "boolean", "timestamp")
_PAIR: Final = ("request_id", "row")


class LogBusy(TryAgain):
    """The request log could not be written."""

    def __init__(self, model: str, problem: str) -> None:
        self.model = model
        super().__init__(
            f"The request log of {model} was not changed: {problem}. Give the same command again; it goes on where it "
            "was."
        )


@dataclass(frozen=True, repr=False)
class LogKey:
    """What a key is in the log.

    :param entities: hashes of the entities.
    """

    key: EntityKey
    hashing: Hashing
    entities: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, key: EntityKey, entities: Sequence[dict[str, object]]) -> LogKey:
        """:param entities: the whole entities of the key that are known."""
        hashing, source = Hashing.of(settings), key.definition.source
        columns = {name: source.columns[name] for name in source.entity}
        texts = (entity_key(columns, row, source.time_zone) for row in entities)
        return cls(key, hashing, frozenset(hashing.text(text) for text in texts if text is not None))

    def columns(self, names: Sequence[str]) -> list[str]:
        """Those of a table's columns that say whether a row is of the key."""
        inputs = {one for name in self.key.columns for one in self._logged(name)}
        return [name for name in names if name == "entity" or name in inputs]

    def wanted(self, rows: pa.Table) -> np.ndarray:
        """For each logged row whether it is of the key."""
        if "entity" not in rows.column_names:
            return np.zeros(rows.num_rows, bool)
        known = pc.is_in(rows["entity"], pa.array(sorted(self.entities), pa.string()))
        found = np.asarray(pc.fill_null(known, False).to_numpy(zero_copy_only=False), bool)
        by_inputs = np.ones(rows.num_rows, bool)
        for name, value in self.key.values.items():
            hashed = pa.scalar(self.hashing.value(self.key.plain[name]))
            logged = [one for one in self._logged(name) if one in rows.column_names]
            same = np.zeros(rows.num_rows, bool)
            for one in logged:
                same |= equal(rows[one], value) | equal(rows[one], hashed)
            by_inputs &= same
        return found | by_inputs

    def _logged(self, name: str) -> list[str]:
        return list(dict.fromkeys(one for kind in _KINDS for one in input_names(name, kind)))


def find(settings: Settings, log: LogKey, name: LogTable) -> Held:
    """What a table of the log holds of a key."""
    days, _ = _rows_by_day(settings, log, name, _pairs(settings, log) if name == "feedback" else set())
    return Held(place=name, rows=sum(days.values()), where=days)


def erase(settings: Settings, log: LogKey, name: LogTable) -> Held:
    """Take the key's rows out of a table of the log, and out of the table's own log, which knows least and greatest
    values. Labels go before the requests, which say whose they are.

    :raises LogBusy: the table cannot be written now.
    """
    lake = LakeTable(settings, log.key.definition.model, name)
    if not lake.exists():
        return Held(place=name)
    with _locked(settings, lake.model):
        pairs = _pairs(settings, log)
        days, wanted = _rows_by_day(settings, log, name, pairs)
        try:
            with written_alone(lake.address.folder), lake.named_faults("writing to"):
                for day in days:
                    _write_without(settings, log, lake, name, day, wanted)
                if days or _has_more_history(lake):
                    _forget_history(lake)
        except (DeltaError, OSError) as error:
            raise LogBusy(lake.model, " ".join(str(error).split())[:300]) from error
    return Held(place=name, rows=sum(days.values()), where=days)


def compact(settings: Settings, model: str) -> None:
    """Bring what the segments of this home hold into the tables.

    :raises LogBusy: another compactor is at work for too long.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    compactor = Compactor(settings)
    while not compactor.run():
        if time.monotonic() > deadline:
            raise LogBusy(model, "another compactor is at work")
        time.sleep(_PAUSE_SECONDS)


def find_segments(settings: Settings, key: EntityKey) -> Held:
    """Segments with the key's values: their rows are in the tables, and they go when the server begins new ones."""
    folder = log_folder(settings.home)
    paths = [*(one.path for one in list_segments(folder)), *(folder / DAMAGED).glob("*")]
    found = {path.name: 1 for path in paths if _names_key(path, key)}
    return Held(place="segments of the log", where=found, files=len(found))


def remove_damaged(settings: Settings, key: EntityKey) -> Held:
    """Remove segments that could not be read and hold the key's values."""
    folder = log_folder(settings.home) / DAMAGED
    found = [path for path in folder.glob("*") if _names_key(path, key)]
    for path in found:
        path.unlink()
    return Held(place="damaged segments", files=len(found))


def _names_key(path: Path, key: EntityKey) -> bool:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:  # its writer closed it, or the compactor removed it just now
        return False
    return key.distinctive is not None and key.distinctive.search(text) is not None


def _pairs(settings: Settings, log: LogKey) -> set[tuple[str, int]]:
    """The requests and rows in them that are of the key: their shadow scores and labels go too."""
    found: set[tuple[str, int]] = set()
    for rows in _batches(settings, log, "inference"):
        own = rows.filter(pa.array(log.wanted(rows)))
        found |= set(zip(*(own[name].to_pylist() for name in _PAIR), strict=True))
    return found


def _is_wanted(rows: pa.Table, log: LogKey, pairs: set[tuple[str, int]]) -> np.ndarray:
    found = log.wanted(rows)
    if pairs:
        near = pc.is_in(rows["request_id"], pa.array(sorted({one for one, _ in pairs}), pa.string()))
        for place in np.flatnonzero(np.asarray(near.to_numpy(zero_copy_only=False), bool)):
            found[place] |= tuple(rows[name][int(place)].as_py() for name in _PAIR) in pairs
    return found


def _rows_by_day(
    settings: Settings, log: LogKey, name: LogTable, pairs: set[tuple[str, int]]
) -> tuple[dict[str, int], set[tuple[str, int]]]:
    pairs = pairs or (_pairs(settings, log) if name == "inference" else set())
    days: dict[str, int] = {}
    for rows in _batches(settings, log, name):
        own = rows[DAY].filter(pa.array(_is_wanted(rows, log, pairs)))
        for day in own.to_pylist():
            days[day] = days.get(day, 0) + 1
    return dict(sorted(days.items())), pairs


def _batches(settings: Settings, log: LogKey, name: LogTable) -> Iterator[pa.Table]:
    found = dataset(settings, log.key.definition.model, name)
    columns = [*dict.fromkeys([*_PAIR, DAY, *log.columns(found.schema.names)])]
    for batch in found.to_batches(columns=columns):
        if batch.num_rows:
            yield pa.table(batch)


def _write_without(
    settings: Settings, log: LogKey, lake: LakeTable, name: LogTable, day: str, pairs: set[tuple[str, int]]
) -> None:
    """Replace a day by itself without the key's rows; the commit names the day and nothing else."""
    found = dataset(settings, lake.model, name, first_day=day, last_day=day)

    def kept() -> Iterator[pa.RecordBatch]:
        for batch in found.to_batches():
            rows = pa.table(batch)
            yield from rows.filter(pa.array(~_is_wanted(rows, log, pairs))).combine_chunks().to_batches()

    write_deltalake(
        lake.load(),
        pa.RecordBatchReader.from_batches(found.schema, kept()),
        mode="overwrite",
        predicate=f"{DAY} = '{day}'",
        commit_properties=CommitProperties(custom_metadata={"noria": {"erased": "rows"}}),
        writer_properties=WriterProperties(compression="ZSTD"),
    )
    settle(lake.address.folder)


def _has_more_history(lake: LakeTable) -> bool:
    """Whether something of before the newest commit is still there: an erasure was killed before it had removed it."""
    log = lake.folder / "_delta_log"
    commits = [path for path in lake.store.find(log, "*.json") if path.stem.isdigit()]
    return len(commits) > 1


def _forget_history(lake: LakeTable) -> None:
    """Remove files that the newest version does not need, and the log up to it, whose place a checkpoint takes."""
    table = lake.load()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    table = lake.load()
    table.create_checkpoint()
    settle(lake.address.folder)
    newest = table.version()
    log, store = lake.folder / "_delta_log", lake.store
    old = [
        path for path in store.find(log, "*") if (number := path.name.split(".")[0]).isdigit() and int(number) < newest
    ]
    store.remove(*old)
    for path in store.find(lake.folder / "_broken", "*"):
        store.remove(path)


@contextmanager
def _locked(settings: Settings, model: str) -> Iterator[None]:
    """The right to change the log's tables; waits for a compactor that is at work."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with compactor_lock(settings) as alone:
            if alone:
                yield
                return
        if time.monotonic() > deadline:
            raise LogBusy(model, "another compactor is at work")
        time.sleep(_PAUSE_SECONDS)
