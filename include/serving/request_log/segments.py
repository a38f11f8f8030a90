"""Segment files: ``<utc>-<pid>-<random>.open`` while a process writes, ``.closed`` when nothing more will come.

A writer holds the file's lock for as long as it lives, so a file whose lock can be taken is an orphan. A file appears
under its name only after it is locked, and is renamed before the lock is let go: no reader ever mistakes one for the
other.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

OPEN: Final = ".open"
CLOSED: Final = ".closed"
DAMAGED: Final = "damaged"
_INSTANT: Final = "%Y%m%dT%H%M%S%f"


def log_folder(home: Path) -> Path:
    """The folder of the request log below an installation's home."""
    return home / "serving" / "log"


class SegmentWriter:
    """A new segment that this process writes.

    :param folder: the log's folder; made if it is not there.
    :raises OSError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{datetime.now(UTC):{_INSTANT}}-{os.getpid()}-{secrets.token_hex(4)}"
        self._path = folder / f"{self.name}{OPEN}"
        self.size = 0
        unseen = folder / f".{self.name}"
        self._handle = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unseen, self._path)
        except OSError:
            os.close(self._handle)
            with suppress(OSError):
                unseen.unlink()
            raise

    def append(self, data: bytes) -> None:
        """Append whole lines with one write(2); only a disk that is filling up asks for a second.

        :raises OSError: nothing of it is in the file: what the disk took before it was full is cut off again.
        """
        written = os.write(self._handle, data)
        if written != len(data):
            self._finish(data, written)
        self.size += len(data)

    def _finish(self, data: bytes, written: int) -> None:
        try:
            while written < len(data):
                written += os.write(self._handle, data[written:])
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise

    def close(self) -> None:
        """Say that nothing more will come; an empty segment is removed. If that fails, the file is an orphan."""
        try:
            with suppress(OSError):
                if self.size:
                    os.rename(self._path, self._path.with_suffix(CLOSED))
                else:
                    self._path.unlink()
        finally:
            os.close(self._handle)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A segment as a reader finds it.

    :param closed: whether nothing more will come; known before anything of it is read.
    """

    name: str
    path: Path
    closed: bool


def list_segments(folder: Path) -> list[Segment]:
    """The segments of a folder, oldest first."""
    found = {}
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            name, ending = os.path.splitext(entry.name)
            if ending not in {OPEN, CLOSED} or name.startswith("."):
                continue
            # A writer may close a file between two entries of one scan: closed is then the truth.
            if ending == CLOSED or name not in found:
                found[name] = Segment(name=name, path=Path(entry.path), closed=ending == CLOSED)
    return [found[name] for name in sorted(found)]


def adopt(segment: Segment) -> Segment:
    """The segment as closed, if its writer is gone; unchanged if it lives."""
    if segment.closed:
        return segment
    closed = segment.path.with_suffix(CLOSED)
    try:
        handle = os.open(segment.path, os.O_RDWR)
    except FileNotFoundError:  # its writer closed it just now
        return Segment(name=segment.name, path=closed, closed=True) if closed.exists() else segment
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            os.rename(segment.path, closed)
        return Segment(name=segment.name, path=closed, closed=True)
    except BlockingIOError:
        return segment
    finally:
        os.close(handle)


def read_lines(segment: Segment, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The lines from an offset on, each with the offset of its end. A last line without an end is not given."""
    try:
        handle = os.open(segment.path, os.O_RDONLY)
    except FileNotFoundError:
        handle = os.open(segment.path.with_suffix(CLOSED), os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        file.seek(offset)
        for data in file:
            if not data.endswith(b"\n"):
                return
            offset += len(data)
            yield offset, data


def began(segment: str) -> datetime | None:
    """When a segment was begun, as its name says; None if that is no segment's name."""
    try:
        return datetime.strptime(segment.partition("-")[0], _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        return None


def sync(segment: Segment) -> None:
    """Bring what was written so far to the disk, under whatever name the segment has now.

    :raises FileNotFoundError: it is gone.
    """
    try:
        handle = os.open(segment.path, os.O_RDONLY)
    except FileNotFoundError:  # its writer closed it just now
        handle = os.open(segment.path.with_suffix(CLOSED), os.O_RDONLY)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)


def to_disk(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(segment: Segment, *, keep: bool = False) -> None:
    """Remove a segment that is closed and whose records are all in their tables.

    :param keep: it has lines that could not be read: move it to the folder ``damaged`` for a person to look at.
    """
    with suppress(FileNotFoundError):
        if keep:
            folder = segment.path.parent / DAMAGED
            folder.mkdir(exist_ok=True)
            os.rename(segment.path, folder / segment.path.name)
        else:
            segment.path.unlink()
