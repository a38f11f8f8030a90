"""Commits to a log table: appended rows together with the segments' positions, and their way to the disk.

A position (application transaction) is committed with the rows in one file, so a record is in the table exactly if its
segment's position says so. delta-rs leaves it to the kernel when files reach the disk; here they are brought there
before a segment may be removed, and a newest commit that a power loss has broken is taken back.

Several servers may share a table. Their segments differ, so their commits never hold the same record; and one of them
writes at a time, so that only the newest commit can be one that is not yet on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    CommitProperties,
    DeltaTable,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError

from include.errors import TryAgain
from include.lake.table import LakeTable
from include.serving.request_log.segments import began, to_disk
from include.serving.request_log.tables import DAY, SCHEMAS, LogTable, dataset
from include.settings import Settings

_POSITION_DAYS: Final = 30
_CONFIGURATION: Final = {
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.setTransactionRetentionDuration": f"interval {_POSITION_DAYS} days",
    "delta.checkpointInterval": "50",
}
_MAGIC: Final = b"PAR1"
_LOCK_SECONDS: Final = 30.0
_LOCK_PAUSE: Final = 0.02
_COMMIT_RETRIES: Final = 10
_NO_LOCKS: Final = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}
_log = logging.getLogger(__name__)


class LogTableBusy(TryAgain):
    """Another compactor committed in between, or the table cannot be written now."""

    def __init__(self, table: LakeTable, cause: str) -> None:
        self.model = table.model
        super().__init__(
            f"The {table.label} was not written ({cause}). The records stay in the log's segments and are tried again."
        )


class OpenedTable:
    """A log table as it was when it was opened; a commit fails if a record's segment was committed since.

    :raises LogTableBusy: it can be neither opened nor made.
    """

    def __init__(self, settings: Settings, model: str, table: LogTable) -> None:
        self._settings = settings
        self._lake = LakeTable(settings, model, table)
        self._table = table
        try:
            self._delta = self._opened()
        except (DeltaError, OSError) as error:
            raise LogTableBusy(self._lake, f"it cannot be opened: {error}") from error

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Its columns and their types."""
        return {field.name: field.type for field in pa.schema(self._delta.schema().to_arrow())}

    def position(self, segment: str) -> int:
        """Up to where a segment's records are in the table."""
        known = self._delta.transaction_version(segment)
        return self._position_in_rows(segment) if known is None else int(known)

    def append(self, rows: pa.Table, positions: Mapping[str, int], note: Mapping[str, Any]) -> None:
        """Commit rows and positions, all or nothing, and bring them to the disk.

        :param rows: may be empty, if all were refused.
        :param note: goes into the commit's metadata.
        :raises LogTableBusy: nothing was committed, or it is not known to be on the disk.
        """
        now = int(time.time() * 1000)
        marks = [Transaction(segment, end, now) for segment, end in positions.items()]
        try:
            with written_alone(self._lake.address.folder), self._lake.named_faults("writing to"):
                self._catch_up(positions)
                write_deltalake(
                    self._delta,
                    rows,
                    mode="append",
                    schema_mode="merge",
                    commit_properties=CommitProperties(
                        custom_metadata={"noria": dict(note)},
                        app_transactions=marks,
                        max_commit_retries=_COMMIT_RETRIES,
                    ),
                    writer_properties=WriterProperties(compression="ZSTD"),
                )
                settle(self._lake.address.folder)
        except (DeltaError, OSError) as error:
            raise LogTableBusy(self._lake, str(error)) from error

    def _catch_up(self, segments: Iterable[str]) -> None:
        """Take in what other servers have committed since, such as new columns; never what is of the same segments.

        :raises LogTableBusy: somebody has committed records of these segments.
        """
        before = {segment: self._delta.transaction_version(segment) for segment in segments}
        self._delta.update_incremental()
        if any(self._delta.transaction_version(segment) != known for segment, known in before.items()):
            raise LogTableBusy(self._lake, "another compactor was faster")

    def _position_in_rows(self, segment: str) -> int:
        """The same of a segment that is so old that Delta has forgotten its position."""
        start = began(segment)
        if start is None or datetime.now(UTC) - start < timedelta(days=_POSITION_DAYS):
            return 0
        rows = dataset(self._settings, self._lake.model, self._table, first_day=f"{start - timedelta(days=1):%Y-%m-%d}")
        found = rows.to_table(columns=["position"], filter=pc.field("segment") == segment)
        return int(pc.max(found["position"]).as_py() or 0)

    def _opened(self) -> DeltaTable:
        if not self._lake.exists():
            with written_alone(self._lake.address.folder), self._lake.named_faults("creating"):
                self._make()
        return self._lake.load()

    def _make(self) -> None:
        self._lake.folder.mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            self._lake.address.uri,
            Schema.from_arrow(SCHEMAS[self._table]),
            mode="ignore",
            partition_by=[DAY],
            name=self._lake.label,
            configuration=_CONFIGURATION,
            storage_options=self._lake.address.options,
        )
        settle(self._lake.address.folder)
        for parent in list(self._lake.folder.parents)[:3]:  # the model's, the lake's and the store's
            to_disk(parent)


@contextmanager
def written_alone(folder: Path | None) -> Iterator[None]:
    """One writer of a table at a time, of all servers that share it; readers are not held up.

    A writer that is killed lets go. A file system that knows no locks is written to without.

    :param folder: of the table; None if it lies in a bucket, where a commit is one conditional write.
    :raises OSError: another server has been writing for too long.
    """
    if folder is None:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.parent / f".{folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, f"another server has been writing for {_LOCK_SECONDS:.0f} s") from None
            time.sleep(_LOCK_PAUSE)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return None


def settle(folder: Path | None) -> None:
    """Bring the newest commit to the disk: its files first, then its log entry, checkpoints and the folders.

    :param folder: of the table; None if it lies in a bucket, which has on its disk what it has taken.
    :raises OSError: the disk does not take them.
    """
    if folder is None:
        return
    log = folder / "_delta_log"
    newest = _newest_commit(log)
    if newest is None:
        return
    parents = {folder, log}
    for path, _ in _added(folder, newest):
        to_disk(path)
        parents.add(path.parent)
    for path in (newest, log / "_last_checkpoint", *log.glob(f"{newest.stem}.checkpoint*.parquet")):
        with suppress(FileNotFoundError):
            to_disk(path)
    for parent in parents:
        to_disk(parent)


def repair(folder: Path | None) -> str | None:
    """After a power loss: take the newest commit back if it or a file of it is broken.

    Its records are still in the segments, which are removed only after their commit is on the disk.

    :param folder: of the table; None if it lies in a bucket, where nothing is ever half written.
    :returns: what was broken, or None.
    """
    if folder is None:
        return None
    log = folder / "_delta_log"
    for checkpoint in sorted(log.glob("*.checkpoint.parquet"))[-1:]:
        if not _is_parquet(checkpoint):
            _set_aside(folder, checkpoint)
            (log / "_last_checkpoint").unlink(missing_ok=True)
    with suppress(OSError, ValueError):
        last = log / "_last_checkpoint"
        if last.exists() and not last.read_bytes().strip(b"\0"):
            last.unlink()
    newest = _newest_commit(log)
    if newest is None:
        return None
    try:
        broken = [path.name for path, size in _added(folder, newest) if not _is_parquet(path, size)]
    except ValueError:
        broken = [newest.name]
    if not broken:
        return None
    _set_aside(folder, newest)
    for checkpoint in log.glob(f"{newest.stem}.checkpoint*.parquet"):  # it says what that commit said
        _set_aside(folder, checkpoint)
        (log / "_last_checkpoint").unlink(missing_ok=True)
    _log.warning("the newest commit of %s was broken (%s) and is made again", folder, ", ".join(broken))
    return f"{newest.name}: {', '.join(broken)}"


def _newest_commit(log: Path) -> Path | None:
    names = (name for name in os.listdir(log) if name.endswith(".json") and name[:-5].isdigit()) if log.is_dir() else ()
    newest = max(names, default=None)
    return None if newest is None else log / newest


def _added(folder: Path, commit: Path) -> Iterator[tuple[Path, int]]:
    """The files that a commit adds, with their sizes.

    :raises ValueError: the commit is not whole.
    """
    lines = commit.read_text().splitlines()
    if not lines:
        raise ValueError(f"{commit} is empty")
    for line in lines:
        added = json.loads(line).get("add")
        if added:
            yield folder / unquote(added["path"]), int(added["size"])


def _is_parquet(path: Path, size: int | None = None) -> bool:
    try:
        with path.open("rb") as file:
            found = file.seek(0, os.SEEK_END)
            if found < 12 or (size is not None and size != found):
                return False
            file.seek(-4, os.SEEK_END)
            return file.read() == _MAGIC
    except OSError:
        return False


def _set_aside(folder: Path, path: Path) -> None:
    place = folder / "_broken"
    place.mkdir(exist_ok=True)
    os.rename(path, place / f"{int(time.time())}-{path.name}")
