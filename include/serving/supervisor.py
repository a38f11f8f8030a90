"""The supervisor: holds the listening socket and the processes that work for it, and replaces those that die.

It imports what the workers need, opens nothing and loads nothing, and forks them: a worker that was killed is replaced
within the time that its models take from disk. When the supervisor itself is killed, its end of a pipe closes, and
every child ends by itself as on SIGTERM.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from include.errors import NoriaError

_SIGNALS: Final = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
_SHORT_LIFE: Final = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_BIND_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 30.0
"""How long a process that has shown signs of life may show none before it is killed and replaced."""
_BEAT: Final = struct.Struct("d")
_PR_SET_NAME: Final = 15
_log = logging.getLogger(__name__)


class PortTaken(NoriaError):
    """The server cannot listen where it should.

    :param host: the address.
    :param port: the port.
    """

    def __init__(self, host: str, port: int, problem: str) -> None:
        self.host = host
        self.port = port
        super().__init__(f"The server cannot listen on {host} port {port}: {problem}. Choose another --host or --port.")


@dataclass
class Child:
    """A process that is to run for as long as the supervisor does.

    :param name: what ``ps`` calls it, at most 15 letters.
    :param work: what it does; returns when SIGTERM asks it to end. It is handed a function to call as a sign of life;
        one that never calls it is left alone.
    :param died: called in the supervisor with the process id of one that is gone.
    :param ends_last: told to end only when the others are gone, because it works on what they leave.
    """

    name: str
    work: Callable[[Callable[[], None]], None]
    died: Callable[[int], None] = lambda _: None
    ends_last: bool = False
    pid: int | None = field(default=None, init=False)
    began: float = field(default=0.0, init=False)
    due: float = field(default=0.0, init=False)
    pause: float = field(default=0.0, init=False)
    _beat: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _BEAT.size), init=False, repr=False)

    def begins(self, now: float) -> None:
        """Note that it is about to be started."""
        self.began = now
        _BEAT.pack_into(self._beat, 0, 0.0)

    def beats(self) -> None:
        """A sign of life, from its own process."""
        _BEAT.pack_into(self._beat, 0, time.monotonic())

    def is_stuck(self, now: float) -> bool:
        """Whether it lives, but has been silent for too long."""
        (heard,) = _BEAT.unpack_from(self._beat)
        return self.pid is not None and heard > 0 and now - heard > SILENT_SECONDS

    def ended(self, now: float) -> float:
        """Note its death; returns the pause until it is started again, longer if it lives shortly again and again."""
        short = now - self.began < _SHORT_LIFE
        self.pause = min(max(self.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE) if short else 0.0
        self.pid, self.due = None, now + self.pause
        return self.pause


class Supervisor:
    """Runs children until SIGTERM or SIGINT.

    :param children: the processes.
    :param listener: the socket that they share, closed as soon as they are told to end.
    :param drain_seconds: how long they may take to end before they are killed; those that end last have it once more.
    """

    def __init__(self, children: Sequence[Child], listener: socket.socket, *, drain_seconds: float) -> None:
        self._children = children
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._lifeline, self._held = os.pipe()

    def run(self) -> int:
        """Start the children and look after them; returns the exit status."""
        hold_signals()
        gc.collect()
        gc.freeze()  # what was imported is shared with the children: no collector touches it
        while not self._is_told_to_end(self._start_due()):
            self._bury()
        return self._end()

    def _start_due(self) -> float:
        """Start what is due; returns the seconds until there is something to look at."""
        now = time.monotonic()
        for child in self._children:
            if child.pid is None and child.due <= now:
                child.begins(now)
                self._start(child)
        waiting = [child.due - now for child in self._children if child.pid is None]
        return max(0.0, min([_LOOK_SECONDS, *waiting]))

    def _start(self, child: Child) -> None:
        """Fork; on a machine that has no room for a process just now, try again after a pause."""
        try:
            child.pid = self._fork(child)
        except OSError as error:
            pause = child.ended(time.monotonic())
            _log.error("%s cannot be started: %s; next try in %.1f s", child.name, error.strerror, pause)

    def _is_told_to_end(self, seconds: float) -> bool:
        """Wait for a signal, at most some seconds."""
        found = signal.sigtimedwait(_SIGNALS, seconds)
        return found is not None and found.si_signo != signal.SIGCHLD

    def _bury(self) -> None:
        """Kill children that are stuck, and take note of all that are gone."""
        for child in self._children:
            if child.pid is None:
                continue
            if child.is_stuck(time.monotonic()):
                _log.error("%s %d has not moved for %.0f s and is killed", child.name, child.pid, SILENT_SECONDS)
                os.kill(child.pid, signal.SIGKILL)
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.died(pid)
                pause = child.ended(time.monotonic())
                code = os.waitstatus_to_exitcode(status)
                _log.warning("%s %d ended with %d; it is started again in %.1f s", child.name, pid, code, pause)
        self._bury_orphans()

    def _bury_orphans(self) -> None:
        """As the first process of a container: take note of the end of children's children, whose parents are gone."""
        ours = {child.pid for child in self._children}
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in ours:
                    break  # it ended just now, and is looked at next time
                os.waitpid(found.si_pid, 0)

    def _end(self) -> int:
        self._listener.close()
        for last in (False, True):
            self._end_all([child for child in self._children if child.ends_last is last])
        return 0

    def _end_all(self, children: Sequence[Child]) -> None:
        """Tell them to end, wait for them, and kill those that do not."""
        for child in children:
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._drain_seconds
        while any(child.pid for child in children) and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            for child in children:
                if child.pid is not None and os.waitpid(child.pid, os.WNOHANG)[0]:
                    child.pid = None
        for child in children:
            if child.pid is not None:
                _log.error("%s %d did not end within %.0f s and is killed", child.name, child.pid, self._drain_seconds)
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)

    def _fork(self, child: Child) -> int:
        pid = os.fork()
        return pid or self._live(child)

    def _live(self, child: Child) -> NoReturn:
        """The child's whole life; it never comes back into the supervisor's code."""
        code = 1
        try:
            os.close(self._held)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            _rename(child.name)
            threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
            child.work(child.beats)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001 - the process ends here
            _log.exception("%s %d fails", child.name, os.getpid())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _watch(self) -> None:
        """End this process when the supervisor is gone."""
        os.read(self._lifeline, 1)
        _log.warning("the supervisor is gone: this process ends too")
        os.kill(os.getpid(), signal.SIGTERM)


def hold_signals() -> None:
    """Keep the signals that tell it to end until it looks: the first process of a container would miss them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket; a predecessor that is just ending is waited for.

    :raises PortTaken: somebody else listens there, or the address is not this machine's.
    """
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            listener = socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PortTaken(host, port, error.strerror or str(error)) from None
            time.sleep(0.1)
        else:
            listener.set_inheritable(False)
            return listener


def _rename(name: str) -> None:
    """What ``ps`` and ``top`` call this process; of no importance if it fails."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
