"""Time that a piece of work took, without the time in which it could have run but the processor was busy elsewhere.

The scoring process has the lowest priority: on a busy machine it waits for its turn, sometimes longer than it works.
That wait says nothing about a version; sleeping, reading and computing do. Linux counts it for each thread.
"""

from __future__ import annotations

import os
import time
from typing import Final

_STATISTICS: Final = "/proc/thread-self/schedstat"
"""``<nanoseconds run> <nanoseconds waited for a processor> <times>`` of the thread that opens it."""


class Stopwatch:
    """Measures work of the thread that makes it; where the kernel does not count waits, plain time."""

    def __init__(self) -> None:
        try:
            self._handle: int | None = os.open(_STATISTICS, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._handle = None
        self._began = 0
        self._waited = 0

    def start(self) -> None:
        """Begin to measure."""
        self._waited = self._waits()
        self._began = time.perf_counter_ns()

    def microseconds(self) -> int:
        """Since the start, without the waits for a processor; at least 0."""
        took = time.perf_counter_ns() - self._began
        return max(0, took - (self._waits() - self._waited)) // 1000

    def _waits(self) -> int:
        if self._handle is None:
            return 0
        try:
            return int(os.pread(self._handle, 100, 0).split()[1])
        except (OSError, IndexError, ValueError):
            return 0
