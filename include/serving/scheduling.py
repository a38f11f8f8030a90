"""Lets a worker's thread have a processor at once when a request comes, whatever else runs on the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
_SCHED_OTHER: Final = 0
_SLICE_NANOSECONDS: Final = 100_000


def wake_at_once() -> bool:
    """Ask the kernel for short slices of the calling thread; says whether it has agreed.

    A thread with short slices interrupts one with longer ones as soon as it wakes (EEVDF, Linux 6.12 and later), where
    it would otherwise wait for the end of a slice of some milliseconds, even of a process of the lowest priority. Its
    share of the processor stays the same. Older kernels ignore it.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, _SCHED_OTHER, 0, nice, 0, _SLICE_NANOSECONDS, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0) == 0)
