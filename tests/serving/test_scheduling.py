"""Short slices of a thread: the kernel takes them, and nothing else of the thread changes."""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path

import pytest

from include.serving import scheduling


def in_thread() -> tuple[bool, int, int, int]:
    """Whether the kernel agreed, then policy, nice value and slice of a thread that asked."""
    found: list[tuple[bool, int, int, int]] = []

    def ask() -> None:
        agreed = scheduling.wake_at_once()
        state = Path(f"/proc/self/task/{threading.get_native_id()}/sched").read_text()
        lines = [line for line in state.splitlines() if line.startswith("se.slice")]
        slice_nanoseconds = int(lines[0].split(":")[1]) if lines else 0
        found.append((agreed, os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), slice_nanoseconds))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="this kernel does not tell about its scheduling")
def test_policy_and_nice_value_stay_and_slices_get_short_where_the_kernel_can() -> None:
    agreed, policy, nice, slice_nanoseconds = in_thread()
    assert (policy, nice) == (os.SCHED_OTHER, os.getpriority(os.PRIO_PROCESS, 0))
    if agreed and slice_nanoseconds:
        assert slice_nanoseconds == 100_000


def test_a_machine_of_another_kind_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert scheduling.wake_at_once() is False
