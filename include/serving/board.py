"""A small piece of memory by which a process shows its parent that it lives, what it is at, and what it has counted."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

_HEAD: Final = struct.Struct("<ddI")
_COUNTS_AT: Final = 65_536
_COUNTS_BYTES: Final = 1 << 20


class Board:
    """Anonymous memory that a process shares with those that it forks."""

    def __init__(self) -> None:
        self._handle = os.memfd_create("noria-board")

    def begin(self, task: Mapping[str, Any]) -> None:
        """Something is being done now; the task is what to say of it if it never ends."""
        data, now = orjson.dumps(task), time.monotonic()
        os.pwrite(self._handle, _HEAD.pack(now, now, len(data)) + data, 0)

    def rest(self) -> None:
        """Nothing is being done."""
        os.pwrite(self._handle, _HEAD.pack(time.monotonic(), 0.0, 0), 0)

    def look(self) -> tuple[float, float, dict[str, Any] | None]:
        """When there was last a sign of life, since when something is being done (0: nothing is), and what."""
        data = os.pread(self._handle, _COUNTS_AT, 0)
        if len(data) < _HEAD.size:
            return 0.0, 0.0, None
        alive, since, size = _HEAD.unpack_from(data)
        try:
            task = orjson.loads(data[_HEAD.size : _HEAD.size + size]) if since else None
        except orjson.JSONDecodeError:
            task = None
        return alive, since, task

    def publish(self, counts: Mapping[str, Any]) -> None:
        """Show counts."""
        os.pwrite(self._handle, orjson.dumps(counts) + b"\n", _COUNTS_AT)

    def counts(self) -> dict[str, Any]:
        """The counts that were last shown."""
        data = os.pread(self._handle, _COUNTS_BYTES, _COUNTS_AT)
        try:
            found: dict[str, Any] = orjson.loads(data.partition(b"\n")[0])
        except orjson.JSONDecodeError:
            return {}
        return found
