"""Long-lived processes of the local stack: started apart from the terminal, watched, stopped by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from include.errors import NoriaError
from include.stack.instance import ProcessIdentity


class ServiceFailed(NoriaError):
    """A service ended or did not become ready; carries the end of its log."""

    def __init__(self, service: str, what: str, log: Path) -> None:
        self.service = service
        self.log = log
        super().__init__(f"{service} {what}. The end of its log ({log}):\n{_tail(log)}")


@dataclass(frozen=True)
class Service:
    """How to start one process and to know that it works.

    :param ready: asked repeatedly until it answers True.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]


def start(service: Service) -> ProcessIdentity:
    """Start it in a session of its own, output to its log file, and return at once."""
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        process = subprocess.Popen(
            list(service.command),
            env=dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return ProcessIdentity(pid=process.pid, started=psutil.Process(process.pid).create_time())


def is_alive(identity: ProcessIdentity | None) -> bool:
    """Whether this very process lives (a zombie does not)."""
    process = _find(identity)
    return process is not None and _lives(process)


def wait_until_ready(service: Service, identity: ProcessIdentity, seconds: float) -> None:
    """Wait until it is ready.

    :raises ServiceFailed: if it ends first, or is not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not service.ready():
        if not is_alive(identity):
            raise ServiceFailed(service.name, "ended while starting", service.log)
        if time.monotonic() > deadline:
            raise ServiceFailed(service.name, f"was not ready within {seconds:.0f} s", service.log)
        time.sleep(0.2)


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.3) -> bool:
    """Ask until it is true or the time is over; the last answer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def stop(identities: Iterable[ProcessIdentity | None], seconds: float = 15) -> None:
    """End services and all that they started: SIGTERM to each first, SIGKILL for what is left after ``seconds``.

    A service that was killed may leave children behind, and these hold its port: they are ended as well.
    """
    family = [member for identity in identities if identity is not None for member in _family(identity)]
    asked = [process for process, is_service in family if is_service]
    for process in asked:
        _signal(process, signal.SIGTERM)
    wait_for_end(asked, seconds)
    leftover = [process for process, _ in family if _lives(process)]
    for process in leftover:
        _signal(process, signal.SIGKILL)
    wait_for_end(leftover, 5)


def wait_for_end(processes: Collection[psutil.Process], seconds: float) -> bool:
    """Wait until none lives; one that its parent has not buried does not, though psutil would wait for that, too."""
    return wait_for(lambda: not any(_lives(process) for process in processes), seconds, pause=0.02)


def _family(identity: ProcessIdentity) -> list[tuple[psutil.Process, bool]]:
    """The service, if it lives, with True; its descendants and who else is in its session, with False."""
    process = _find(identity)
    if process is None and psutil.pid_exists(identity.pid):
        return []  # The id has been given away again, which happens only when nobody is left of the session.
    found = {child.pid: child for child in _descendants(process)} if process else {}
    for other in psutil.process_iter():
        if other.pid != identity.pid and other.pid not in found and _in_session_of(identity, other):
            found[other.pid] = other
    return [*([(process, True)] if process else []), *((other, False) for other in found.values())]


def _in_session_of(identity: ProcessIdentity, other: psutil.Process) -> bool:
    """Whether a process belongs to the session; a session's id is not given away again while it has members."""
    try:
        return os.getsid(other.pid) == identity.pid and other.create_time() >= identity.started - 1
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    _reap(process.pid)
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _find(identity: ProcessIdentity | None) -> psutil.Process | None:
    if identity is None:
        return None
    _reap(identity.pid)
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.started) < 1
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _reap(pid: int) -> None:
    """Collect it if it is our own dead child, so that it does not look alive."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _tail(log: Path, lines: int = 25) -> str:
    if not log.exists():
        return "(no log was written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
