"""Pollers in processes of their own, changes while they look, and what of these each saw when."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

import psutil

from include.registry import state
from include.registry.state_reader import REREAD_SECONDS, StateReader
from include.serving.shared_state import Reader, SharedReader, SharedState
from include.settings import Settings
from tests.bench.installation import Installation

_PROCESSES: Final = 4
_POLL_SECONDS: Final = 0.5
_CHANGES: Final = 5
_START_SECONDS: Final = 120.0
_SETTLE_SECONDS: Final = 0.15
"""For each poller: it takes over a thousand models once, on the same two processors as all others."""


@dataclass(frozen=True)
class Pace:
    """How processes look.

    :param reread: seconds between two looks at all rows.
    :param silent: seconds for which a database is believed that says nothing.
    :param together: processes of one server, of which one asks for all.
    """

    reread: float = REREAD_SECONDS
    silent: float = REREAD_SECONDS
    together: int = 1


@dataclass
class Measured:
    """What all pollers of a measurement saw.

    :param idle_seconds: of the database's processors, while nothing changed, for as long as it then changed.
    :param connections: that the database has.
    :param connection_bytes: of memory that only one of them has, on average.
    :param looks: seconds that each look took.
    :param delays: seconds from a change to the end of the look that saw it, for each poller and change.
    :param missed: changes that a poller never saw.
    """

    seconds: float
    database_seconds: float
    idle_seconds: float
    connections: int
    connection_bytes: float
    looks: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    missed: int = 0


@dataclass
class _Seen:
    """One poller's looks, and the moment at which it first saw each revision."""

    looks: list[float] = field(default_factory=list)
    revisions: dict[int, float] = field(default_factory=dict)


def measure(made: Installation, model: str, count: int, *, pace: Pace, seconds: float) -> Measured:
    """Let so many pollers look for so long, and change a model's state some times meanwhile."""
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    children = []
    for number in range(_PROCESSES):
        ours, theirs = context.Pipe()
        share = count // _PROCESSES + (number < count % _PROCESSES)
        arguments = (made.settings, model, share, pace, theirs)
        children.append(context.Process(target=_poll, args=arguments, daemon=True))
        children[-1].start()
        ends.append(ours)
    for end in ends:
        if not end.poll(_START_SECONDS):
            raise SystemExit("The pollers do not start.")
        end.recv()
    _change(made.settings, model, 1)  # one shows that changes are told
    time.sleep(2 * _POLL_SECONDS + _SETTLE_SECONDS * count)
    server = psutil.Process(int((made.postgres.data / "postmaster.pid").read_text().split()[0]))
    idle = _processor_seconds(server)
    time.sleep(seconds)
    before, began = _processor_seconds(server), time.monotonic()
    own = _memory_of_connections(server)
    changed: dict[int, float] = {}
    for number in range(_CHANGES):
        time.sleep(seconds / (_CHANGES + 1))
        changed |= _change(made.settings, model, 2 - number % 2)
    time.sleep(seconds / (_CHANGES + 1))
    measured = Measured(
        time.monotonic() - began, _processor_seconds(server) - before, before - idle, len(own), sum(own) / len(own)
    )
    for end in ends:
        end.send("stop")
    for end, child in zip(ends, children, strict=True):
        for seen in end.recv():
            _add(measured, seen, changed, began)
        child.join()
    return measured


def _change(settings: Settings, model: str, version: int) -> dict[int, float]:
    """Make another version the champion; the new revision, and when the change was done."""
    done = state.roll_back(settings, model, version, actor="bench", reason="bench", bar=False)
    return {done.revision: time.monotonic()}


def _add(measured: Measured, seen: _Seen, changed: dict[int, float], began: float) -> None:
    measured.looks += seen.looks
    for revision, at in changed.items():
        # A poller that slept over a change has seen it with the next one.
        found = min((when for number, when in seen.revisions.items() if number >= revision), default=None)
        if found is None:
            measured.missed += 1
        else:
            measured.delays.append(max(0.0, found - at))


def _processor_seconds(server: psutil.Process) -> float:
    """Of PostgreSQL's processes that live; pollers keep theirs."""
    total = 0.0
    for process in (server, *server.children()):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _memory_of_connections(server: psutil.Process) -> list[int]:
    """Bytes that only one of PostgreSQL's processes has, for each connection."""
    found = []
    for process in server.children():
        with suppress(psutil.Error):  # somebody else's, which ends just now
            if "postgres: postgres noria" in " ".join(process.cmdline()):
                found.append(process.memory_full_info().uss)
    return found


def _poll(settings: Settings, model: str, count: int, pace: Pace, end: Connection) -> None:
    """A process with many pollers, each in a thread."""
    stop, ready = threading.Event(), threading.Barrier(count + 1)
    found = [_Seen() for _ in range(count)]
    readers = _readers(settings, pace, count)
    threads = [
        threading.Thread(target=_look, args=(reader, model, seen, ready, stop))
        for reader, seen in zip(readers, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    end.send("ready")
    end.recv()
    stop.set()
    for thread in threads:
        thread.join()
    end.send(found)


def _readers(settings: Settings, pace: Pace, count: int) -> Iterator[Reader]:
    """Of each server the first leads, since the lock is that of a whole process, here of many pollers."""
    for number in range(count):
        place = number % pace.together
        if place == 0:
            shared = SharedState()
        if pace.together > 1:
            yield SharedReader(settings, shared, leads=place == 0)
        else:
            yield StateReader(settings, reread_seconds=pace.reread, silent_seconds=pace.silent)


def _look(reader: Reader, model: str, seen: _Seen, ready: threading.Barrier, stop: threading.Event) -> None:
    reader.read()
    ready.wait()
    stop.wait(random.random() * _POLL_SECONDS)  # noqa: S311 - servers do not start at the same moment
    while not stop.is_set():
        began = time.monotonic()
        revision = reader.read()[model].revision
        ended = time.monotonic()
        seen.looks.append(ended - began)
        seen.revisions.setdefault(revision, ended)
        stop.wait(_POLL_SECONDS)
    reader.close()
