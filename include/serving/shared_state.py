"""The deployment state for all processes of one server: one of them asks the database, the others read what it knows.

It lies in anonymous memory that the processes share. The worker that holds a lock there asks at each of its looks and
leaves what it has read, with the time; when it dies, the kernel gives the lock to the next one that wants it. A process
that finds nothing fresh there, because nobody asks or whoever does is stuck, asks the database itself.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import orjson

from include.registry.deployed import ModelState
from include.registry.state_reader import StateReader
from include.serving.memory import states_of
from include.settings import Settings

QUIET_SECONDS: Final = 1.0
"""After which others look whether the leader has died: some looks."""
FRESH_SECONDS: Final = 5.0
"""How long what a leader that lives has left is believed; on a busy machine it may be late."""
_HEAD: Final = struct.Struct("<dQQI")
_INDEX_AT, _DOCUMENTS_AT = 1 << 12, 1 << 26  # what is not written takes no memory
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.005


class Reader(Protocol):
    """Whoever knows the deployment state."""

    def read(self) -> dict[str, ModelState]:
        """The state by model; the very same object as long as nothing has changed.

        :raises DatabaseAway: the database cannot be reached.
        """

    def close(self) -> None:
        """Let go of connections."""


def reader(settings: Settings, shared: SharedState | None, *, leads: bool = True) -> Reader:
    """Who asks for the state in this process: by itself, or together with the other processes of its server."""
    return StateReader(settings) if shared is None else SharedReader(settings, shared, leads=leads)


class Head(NamedTuple):
    """What the memory begins with.

    :param at: when whoever asked last began to, by the machine's monotonic clock.
    :param number: rises by one with each other state.
    :param size: bytes of the index.
    :param checksum: of the index.
    """

    at: float
    number: int
    size: int
    checksum: int


class SharedState:
    """The memory. It is made before the processes are forked that share it."""

    def __init__(self) -> None:
        self._handle = os.memfd_create("noria-state")

    def lead(self) -> bool:
        """Whether this process is the one that asks, until it ends or :meth:`resign`: nobody else is."""
        with suppress(BlockingIOError):
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def resign(self) -> None:
        """Let another process ask."""
        fcntl.lockf(self._handle, fcntl.LOCK_UN)

    def head(self) -> Head:
        """What is there."""
        data = os.pread(self._handle, _HEAD.size, 0)
        return Head(*_HEAD.unpack(data)) if len(data) == _HEAD.size else Head(float("-inf"), 0, 0, 0)

    def index(self, head: Head) -> bytes | None:
        """The index that belongs to a head; None if another one is just being written."""
        data = os.pread(self._handle, head.size, _INDEX_AT)
        return data if zlib.crc32(data) == head.checksum else None

    def document(self, place: int, size: int) -> bytes:
        """A document, or what has just been written in its place."""
        return os.pread(self._handle, size, _DOCUMENTS_AT + place)

    def write(self, at: float, number: int, index: bytes, documents: bytes) -> None:
        """Leave another state, which somebody began to ask for at that moment."""
        os.pwrite(self._handle, documents, _DOCUMENTS_AT)
        os.pwrite(self._handle, index, _INDEX_AT)
        self._write_head(Head(at, number, len(index), zlib.crc32(index)))

    def beat(self, at: float) -> None:
        """What is there was asked for again at that moment, and is the same."""
        self._write_head(self.head()._replace(at=at))

    def _write_head(self, head: Head) -> None:
        os.pwrite(self._handle, _HEAD.pack(*head), 0)


class SharedReader:
    """What a process of a server asks for the state; at most one in each process.

    :param settings: where the database is.
    :param shared: the server's memory.
    :param leads: whether this process may be the one that asks for all. One of low priority should not.
    """

    def __init__(self, settings: Settings, shared: SharedState, *, leads: bool = True) -> None:
        self._shared = shared
        self._leads = leads
        self._is_leader = False
        self._own = StateReader(settings)
        self._is_connected = False
        self._asked_at = float("-inf")
        self._models = _Models()

    def read(self) -> dict[str, ModelState]:
        """The state by model; the very same object as long as nothing has changed.

        :raises DatabaseAway: nobody has read it lately, and the database cannot be reached.
        """
        self._is_leader = self._is_leader or (self._leads and self._is_quiet() and self._shared.lead())
        if not self._is_leader and (found := self._taken()) is not None:
            self._disconnect()
            return found
        self._asked_at = time.monotonic()
        self._is_connected = True
        states = self._own.read()
        if self._is_leader:
            self._leave(states)
        return states

    def _is_quiet(self) -> bool:
        return self._shared.head().at < time.monotonic() - QUIET_SECONDS

    def _taken(self) -> dict[str, ModelState] | None:
        """What the leader has left, unless it is old, or older than what this process has seen by itself."""
        for _ in range(_ATTEMPTS):
            head = self._shared.head()
            if head.at < max(self._asked_at, time.monotonic() - FRESH_SECONDS):
                return None
            if head.number == self._models.number:
                return self._models.states
            index = self._shared.index(head)
            if index is not None and self._models.take(head.number, index, self._shared.document):
                return self._models.states
            time.sleep(_PAUSE)
        return None

    def _leave(self, states: dict[str, ModelState]) -> None:
        if states is self._models.states:
            self._shared.beat(self._asked_at)
        else:
            number = self._shared.head().number + 1
            self._shared.write(self._asked_at, number, *self._models.give(number, states))

    def close(self) -> None:
        """Let others ask, and close the connection."""
        if self._is_leader:
            self._is_leader = False
            self._shared.resign()
        self._disconnect()

    def _disconnect(self) -> None:
        """Keep what is known, so that asking once more costs one row."""
        if self._is_connected:
            self._is_connected = False
            self._own.close()


class _Models:
    """The states as an index, which says where each model's document is, and these; only new ones are made and read.

    A document's stamp is the number of the state with which it first came.
    """

    def __init__(self) -> None:
        self.number = 0
        self.states: dict[str, ModelState] = {}
        self._stamps: dict[str, int] = {}
        self._documents: dict[str, tuple[bytes, int]] = {}

    def take(self, number: int, index: bytes, document: Callable[[int, int], bytes]) -> bool:
        """Know the states that another process has left; False if it is just writing others.

        :param document: gives the bytes at a place, so many.
        """
        states, stamps, place = {}, {}, 0
        for model, stamp, size, checksum in orjson.loads(index):
            if self._stamps.get(model) == stamp:
                states[model] = self.states[model]
            else:
                data = document(place, size)
                if zlib.crc32(data) != checksum:
                    return False
                states |= states_of({model: orjson.loads(data)})
            stamps[model], place = stamp, place + size
        self.number, self.states, self._stamps, self._documents = number, states, stamps, {}
        return True

    def give(self, number: int, states: dict[str, ModelState]) -> tuple[bytes, bytes]:
        """Index and documents of these states, for other processes."""
        stamps, documents = {}, {}
        for model, state in states.items():
            known = self.states.get(model)
            same = model in self._stamps and (known is state or known == state)
            stamps[model] = self._stamps[model] if same else number
            kept = self._documents.get(model) if same else None
            documents[model] = kept or _with_checksum(orjson.dumps(state))
        self.number, self.states, self._stamps, self._documents = number, states, stamps, documents
        index = [[model, stamps[model], len(data), checksum] for model, (data, checksum) in documents.items()]
        return orjson.dumps(index), b"".join(data for data, _ in documents.values())


def _with_checksum(data: bytes) -> tuple[bytes, int]:
    return data, zlib.crc32(data)
