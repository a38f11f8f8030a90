"""What workers offered and nobody has scored yet: bounded, by model, and fair to all models."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from typing import Final

MOST_WAITING: Final = 2_000
"""Requests of one model that wait; what comes beyond that is dropped and counted."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all waiting requests."""
_PAUSE: Final = 0.005
"""Between two looks: a worker that sends meanwhile wakes nobody, which would cost it more than the sending."""
_LARGEST_MESSAGE: Final = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


class Inbox:
    """Reads offers in a thread of its own and hands them out, the model that has taken the least time first.

    :param listener: a listening SEQPACKET socket.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ready = threading.Condition()
        self._waiting: dict[str, deque[bytes]] = {}
        self._bytes = 0
        self._spent: dict[str, float] = {}
        self._ended = False
        self.dropped: dict[str, int] = {}
        """Requests dropped here, by model."""
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._read, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; what waits is given up."""
        self._ended = True
        os.write(self._woken, b"!")
        self._thread.join(timeout=5)

    def take(self, seconds: float) -> tuple[str, bytes] | None:
        """The next offer, as the model's name and its JSON; None if none comes in this time."""
        with self._ready:
            if not any(self._waiting.values()):
                self._ready.wait(seconds)
            models = [model for model, waiting in self._waiting.items() if waiting]
            if not models:
                return None
            model = min(models, key=lambda name: self._spent.get(name, 0.0))
            body = self._waiting[model].popleft()
            self._bytes -= len(body)
            return model, body

    def spend(self, model: str, seconds: float) -> None:
        """A model's request took so long to score."""
        with self._ready:
            self._spent[model] = self._spent.get(model, 0.0) + seconds

    def depths(self) -> dict[str, int]:
        """How many requests wait, by model."""
        with self._ready:
            return {model: len(waiting) for model, waiting in self._waiting.items()}

    def put(self, message: bytes) -> bool:
        """Let a message wait, if there is room."""
        name, _, body = message.partition(b"\0")
        model = name.decode("utf-8", "replace")
        with self._ready:
            waiting = self._waiting.setdefault(model, deque())
            if len(waiting) >= MOST_WAITING or self._bytes + len(body) > MOST_BYTES:
                self.dropped[model] = self.dropped.get(model, 0) + 1
                return False
            if not waiting:  # time that it did not need is no credit against the others
                busy = [self._spent.get(other, 0.0) for other, queue in self._waiting.items() if queue]
                self._spent[model] = max([self._spent.get(model, 0.0), *([min(busy)] if busy else [])])
            waiting.append(body)
            self._bytes += len(body)
            self._ready.notify()
        return True

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            self._listener.setblocking(False)
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in selector.select():
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif isinstance(key.fileobj, socket.socket):
                        self._receive(selector, key.fileobj)
                time.sleep(_PAUSE)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)

    def _receive(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        try:
            for _ in range(256):  # then another worker's turn
                message = connection.recv(_LARGEST_MESSAGE)
                if not message:
                    break
                self.put(message)
            else:
                return
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("a worker's connection broke: %s", error)
        selector.unregister(connection)
        connection.close()
