"""The worker's side of shadow scoring: offers answered requests to the background process, and never waits for it.

Messages go through a local socket of kind SEQPACKET: like datagrams they arrive whole or not at all, but the queue is
bounded in bytes, while the kernel holds only ten datagrams. What does not fit is dropped and counted.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from include.serving.protocols.calls import Call
    from include.serving.request_log.records import Shape

MOST_ROWS: Final = 20
"""Rows of one request that are scored; of a larger one evenly spread rows are taken, each a tenth of a millisecond."""
RATE: Final = 100.0
"""Rows a second of a model that a worker offers, and as many at once after a quiet second. A judgement needs some
hundred rows; to score all of a busy model's would take the processor away from those who ask."""
_LONGEST_ADDRESS: Final = 108
_BUFFER_BYTES: Final = 4 * 1024 * 1024
_RECONNECT_SECONDS: Final = 0.5
_FULL_SECONDS: Final = 0.005
_FULL: Final = {errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE}


def socket_path(home: Path) -> Path:
    """Where the background process listens, below an installation's home."""
    return home / "serving" / "shadow.socket"


class ShadowSender:
    """Offers requests for scoring; made after the fork, used by one thread at a time.

    :param path: the background process's socket; it may come, go and come again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._resume = 0.0
        self._models: dict[str, _Offers] = {}

    def offer(
        self,
        *,
        shape: Shape,
        request_id: str,
        at_us: int,
        call: Call,
        answered_version: int,
    ) -> bool:
        """Hand over an answered request, after its answer is on its way; takes some microseconds, whatever happens.

        Call it for models with a challenger in shadow, canary or A/B test, not for requests that asked for a version,
        and not for those on which the challenger itself has failed: that is logged already.

        :param shape: of the version that answered.
        :param at_us: as in the request log.
        :returns: whether it was handed over; False is counted as dropped.
        """
        now = time.monotonic()
        offers = self._models.get(shape.model)
        if offers is None:
            offers = self._models[shape.model] = _Offers()
        if now < self._resume or not offers.may(now, min(call.count, MOST_ROWS)):
            offers.dropped += 1
            return False
        try:
            self._send(_message(shape, request_id, at_us, call, answered_version))
        except (OSError, TypeError, ValueError) as error:
            offers.dropped += 1
            self._after(error)
            return False
        offers.queued += 1
        return True

    def counted(self) -> dict[str, tuple[int, int]]:
        """By model, since the last call: requests that were handed over, and those that were not, because the queue
        was full, nobody listened, or enough are scored."""
        return {model: found for model, offers in list(self._models.items()) if any(found := offers.count())}

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self._socket = _connected(self._path)
        self._socket.send(message)

    def _after(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno not in _FULL:
            self.close()
            self._resume = time.monotonic() + _RECONNECT_SECONDS
        elif isinstance(error, OSError) and error.errno != errno.EMSGSIZE:
            self._resume = time.monotonic() + _FULL_SECONDS


class _Offers:
    """A model's offers: how many more of its rows may be offered now (:data:`RATE` a second, saved up for one second),
    and what became of its requests since they were last counted."""

    __slots__ = ("_at", "_left", "dropped", "queued")

    def __init__(self) -> None:
        self._left = RATE
        self._at = 0.0
        self.queued = 0
        self.dropped = 0

    def count(self) -> tuple[int, int]:
        """Requests that were queued and dropped since the last call."""
        counted = self.queued, self.dropped
        self.queued, self.dropped = 0, 0
        return counted

    def may(self, now: float, rows: int) -> bool:
        """Whether so many more may be offered; they are then counted."""
        self._left = min(RATE, self._left + (now - self._at) * RATE)
        self._at = now
        if self._left < rows:
            return False
        self._left -= rows
        return True


def _connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        made.connect(short_address(path))
    except OSError:
        made.close()
        raise
    return made


def short_address(path: Path) -> str:
    """The socket's address; one that is too long for the kernel (108 bytes) is given relative to the working folder.

    :raises OSError: it is too long either way.
    """
    text = str(path)
    if len(os.fsencode(text)) >= _LONGEST_ADDRESS:
        text = os.path.relpath(path)
    return text


def _message(shape: Shape, request_id: str, at_us: int, call: Call, answered_version: int) -> bytes:
    """``<model>\\0<JSON>``: the model stands in front, so that a message can be queued without being read."""
    document: dict[str, Any] = {"id": request_id, "at": at_us, "answered": answered_version, "count": call.count}
    step = -(-call.count // MOST_ROWS)
    if step > 1:
        document["step"] = step
    if call.rows is not None:
        document["rows"] = call.rows if step == 1 else call.rows[::step]
    else:
        columns = call.columns or {}
        document["columns"] = {
            name: _sample(values, step)
            for name, values in columns.items()
            if values is not None and (name in shape.columns or name not in shape.entity)
        }
    return shape.model.encode() + b"\0" + orjson.dumps(document, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _sample(values: Any, step: int) -> Any:
    taken = values if step == 1 else values[::step]
    return taken if isinstance(taken, list) else taken.tolist()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
