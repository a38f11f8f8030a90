"""Time that a piece of work took, without the time in which it could have run but the processor was busy elsewhere.

The scoring process has the lowest priority: on a busy machine it waits for its turn, sometimes longer than it works.
That wait says nothing about a version; sleeping, reading and computing do. Linux counts it for each thread.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATISTICS: Final = "/proc/thread-self/schedstat"
"""``<nanoseconds run> <nanoseconds waited for a processor> <times>`` of the thread that opens it."""


@dataclass(frozen=True)
class Progress:
    """What a process's first thread has had of the processors; all zero where the kernel does not count it.

    :param ran: seconds in which it ran.
    :param waited: seconds in which it could have run, but for the wait that it may be in now.
    :param runnable: whether it runs or waits to run, and does not sleep.
    """

    ran: float = 0.0
    waited: float = 0.0
    runnable: bool = False

    @classmethod
    def of(cls, pid: int) -> Progress:
        """The progress of a process until now."""
        try:
            ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return cls(int(ran) / 1e9, int(waited) / 1e9, state == "R")
        except (OSError, IndexError, ValueError):
            return cls()

    def worked(self, before: Progress, seconds: float) -> float:
        """How much of so many seconds, from another look to this one, it ran or slept."""
        return self.ran - before.ran if self.runnable else seconds - (self.waited - before.waited)


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
