"""What the preloaded libraries do to a process, and what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.case import MeansLacking
from tests.chaos.preloading import Preloaded, moved_clock, slow_disk


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def enter(stack: ExitStack, made: object) -> Preloaded:
    try:
        return stack.enter_context(made)  # type: ignore[arg-type,no-any-return]
    except MeansLacking as error:
        pytest.skip(str(error))


def told(fault: Preloaded, source: str) -> list[float]:
    """What a process that has the library prints."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", source, str(fault.number)],
        env={**os.environ, **fault.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


CLOCKS = """
import json, struct, sys, threading, time
def move(seconds): open(sys.argv[1], "r+b").write(struct.pack("q", seconds))
moved = []
for seconds in (7200, -7200):
    move(0)
    wall, monotonic = time.time(), time.monotonic()
    move(seconds)
    moved += [time.time() - wall - (time.monotonic() - monotonic)]
begin = time.monotonic()
time.sleep(0.05)
threading.Event().wait(0.05)
print(json.dumps([*moved, time.monotonic() - begin]))
"""


def test_a_running_process_sees_the_wall_clock_jump_and_waits_as_long_as_before(opened: ExitStack) -> None:
    ahead, back, waited = told(enter(opened, moved_clock()), CLOCKS)
    assert ahead == pytest.approx(7200, abs=1)
    assert back == pytest.approx(-7200, abs=1)
    assert 0.1 <= waited < 60


WRITES = """
import json, os, sys, time
def seconds(path):
    begin = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
    return time.monotonic() - begin
print(json.dumps([seconds("{slow}/file"), os.path.getsize("{slow}/file")]))
"""


def test_opening_writing_and_syncing_below_the_folder_takes_the_delay_each(opened: ExitStack, tmp_path: Path) -> None:
    slow, beside = tmp_path / "slow", tmp_path / "slow-not"
    slow.mkdir()
    beside.mkdir()
    fault = enter(opened, slow_disk(slow))
    fault.set(300_000)
    seconds, size = told(fault, WRITES.replace("{slow}", str(slow)))
    assert seconds >= 0.9
    assert size == 1
    fault.set(600_000_000)  # ten minutes: who waits beside the folder, or after it is set to none, never ends
    told(fault, WRITES.replace("{slow}", str(beside)))
    fault.set(0)
    told(fault, WRITES.replace("{slow}", str(slow)))


def test_without_a_compiler_the_case_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeansLacking, match="apt-get install gcc"), moved_clock():
        pass
