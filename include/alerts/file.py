"""The channel file: one line of JSON for each alert, for whatever reads logs."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from include.alerts.sending import Document, SendFailed


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that alerts are appended to; it and its folder are made if they are not there."""

    path: Path

    def send(self, document: Document) -> None:
        """Append one whole line, whoever else writes at the same time; it is on the disk when this returns.

        :raises SendFailed: the file cannot be written.
        """
        line = json.dumps(dict(document), ensure_ascii=False).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as problem:
            raise SendFailed(f"{self.path} cannot be written: {problem.strerror}") from None


def _append(descriptor: int, line: bytes) -> None:
    """Write the line; what a writer that was killed or a full disk left of another one ends before it."""
    size = os.fstat(descriptor).st_size
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    data = b"\n" + line if torn else line
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
