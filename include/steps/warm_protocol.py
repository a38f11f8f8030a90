"""What a task and the warm parent say to each other, through a Unix socket that only this user can open.

The parent says :data:`READY` (or :data:`STALE`, and closes), the task sends a :class:`Request` with its descriptors,
the parent sends the process id of the step, and when it has ended its exit code. Nothing runs before the request is
whole, so a task that waits too long and goes another way has started nothing.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WAITING: Final = "include.steps.waiting"
"""The one program besides a step's that a request may ask for: a look at what a run waits for."""
READY: Final = b"ready"
STALE: Final = b"stale"
MESSAGE: Final = struct.Struct("=q")
"""A process id, then an exit code; negative for a signal."""
_LENGTH: Final = struct.Struct("=I")
_MOST_BYTES: Final = 16 * 1024 * 1024
_LONGEST_ADDRESS: Final = 107


@dataclass(frozen=True)
class Request:
    """One step that is to run.

    :param arguments: of its command line.
    :param environment: its whole environment; may hold secrets.
    :param folder: its working folder.
    :param descriptors: what becomes its stdin, and its stdout and stderr.
    :param program: :data:`WAITING` instead of a step.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    descriptors: tuple[int, int]
    program: str | None = None

    def send(self, connection: socket.socket) -> None:
        """Send it, descriptors included; the caller closes its own.

        :raises OSError: the other side is gone.
        """
        document = {
            "arguments": list(self.arguments),
            "environment": dict(self.environment),
            "folder": self.folder,
            "program": self.program,
        }
        body = json.dumps(document).encode()
        socket.send_fds(connection, [_LENGTH.pack(len(body))], list(self.descriptors))
        connection.sendall(body)

    @classmethod
    def receive(cls, connection: socket.socket) -> Request | None:
        """Read one; None if the other side has gone another way.

        :raises OSError, ValueError: it does not come whole.
        """
        head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 2)
        if not head:
            return None
        try:
            [length] = _LENGTH.unpack(head)
            if len(descriptors) != 2 or length > _MOST_BYTES:
                raise ValueError(f"{len(descriptors)} descriptors, {length} bytes")
            document = json.loads(receive_exactly(connection, length))
            if document.get("program") not in (None, WAITING):
                raise ValueError("there is no program of that name")
            return cls(
                document["arguments"],
                document["environment"],
                document["folder"],
                (descriptors[0], descriptors[1]),
                document.get("program"),
            )
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self.descriptors:
            os.close(descriptor)

    def put_on(self) -> None:
        """Make the calling process the step: a session of its own, the request's streams, environment and folder."""
        os.setsid()
        reading, writing = self.descriptors
        for descriptor, place in ((reading, 0), (writing, 1), (writing, 2)):
            os.dup2(descriptor, place)
        self.close()
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes.

    :raises ConnectionError: the other side is gone before.
    """
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise ConnectionError("the connection ended within a message")
        parts += part
    return bytes(parts)


def socket_path(home: Path) -> Path:
    """Where the warm parent of an installation listens."""
    return home / "warm-parent.socket"


def listen(path: Path) -> socket.socket:
    """Listen at a path, for this user only; a predecessor's place is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(address(path))
    finally:
        os.umask(before)
    listener.listen(64)
    return listener


def connect(path: Path, seconds: float) -> socket.socket | None:
    """A connection to a parent that is ready to fork; None if there is none within this time, or it is stale.

    While a new parent imports, its predecessor's callers wait here for it.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(address(path))
        if receive_exactly(connection, len(READY)) == READY:
            return connection
    except OSError:
        pass
    connection.close()
    return None


def address(path: Path) -> str:
    """The socket's address; one that is too long for the kernel is given relative to the working folder."""
    text = str(path)
    return text if len(os.fsencode(text)) <= _LONGEST_ADDRESS else os.path.relpath(path)
