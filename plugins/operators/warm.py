"""A step that the warm parent forks; see :mod:`include.steps.warm_parent`. To its caller it is like a ``Popen``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from include.steps.warm_protocol import MESSAGE, Request, connect, receive_exactly, socket_path

PATIENCE_SECONDS = 10.0
"""How long a step waits for a parent that is still importing; a cold start takes about as long."""
_KILLED = -9


class WarmProcess:
    """A forked step: its id, which is also that of its process group, its pipes, and its exit code.

    :param pid: the step's process id.
    :param connection: through which the parent says its exit code.
    :param stdin: writing end of its standard input.
    :param stdout: reading end of its output and errors.
    """

    def __init__(self, pid: int, connection: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._connection = connection
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs; -9 if the parent is gone, which takes its steps along."""
        if self._code is None and select.select([self._connection], [], [], 0)[0]:
            self._code = self._said()
            self._connection.close()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :param timeout: seconds.
        :raises subprocess.TimeoutExpired: it runs on.
        """
        if self._code is None and not select.select([self._connection], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a step", timeout or 0.0)
        code = self.poll()
        return _KILLED if code is None else code

    def communicate(self, timeout: float) -> bytes:
        """All that it says until it ends.

        :param timeout: seconds.
        :raises subprocess.TimeoutExpired: it was not at its end by then, and was killed with all that it started.
        """
        deadline, said = time.monotonic() + timeout, bytearray()
        try:
            while select.select([self.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                part = os.read(self.stdout.fileno(), 65536)
                if not part:
                    self.wait(max(0.0, deadline - time.monotonic()))
                    return bytes(said)
                said += part
            raise subprocess.TimeoutExpired("a step", timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            raise
        finally:
            self.stdin.close()
            self.stdout.close()

    def _said(self) -> int:
        try:
            [code] = MESSAGE.unpack(receive_exactly(self._connection, MESSAGE.size))
            return int(code)
        except OSError:
            return _KILLED


def fork_step(
    home: Path, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, program: str | None = None
) -> WarmProcess | None:
    """Let the warm parent fork a step; None if there is no parent, and then nothing was started.

    :param home: the installation's home, where the parent listens.
    :param arguments: of ``python -m include.steps``.
    :param environment: the step's whole environment.
    :param folder: its working folder.
    :param program: ``WAITING`` of the protocol, for a look at what a run waits for instead of a step.
    """
    connection = connect(socket_path(home), PATIENCE_SECONDS)
    if connection is None:
        return None
    (stdin, to_step), (from_step, stdout) = os.pipe(), os.pipe()
    ours = os.fdopen(to_step, "wb", buffering=0), os.fdopen(from_step, "rb", buffering=0)
    try:
        Request(arguments, environment, str(folder), (stdin, stdout), program).send(connection)
        [pid] = MESSAGE.unpack(receive_exactly(connection, MESSAGE.size))
    except OSError:
        # The parent died: with it whatever it may have forked for us.
        connection.close()
        for pipe in ours:
            pipe.close()
        return None
    finally:
        os.close(stdin)
        os.close(stdout)
    connection.settimeout(None)
    return WarmProcess(int(pid), connection, *ours)
