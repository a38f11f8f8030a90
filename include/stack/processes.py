"""Long-lived processes of the local stack: started apart from the terminal, watched, stopped by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
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
    return process is not None and process.status() != psutil.STATUS_ZOMBIE


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


def stop(identity: ProcessIdentity | None, seconds: float = 15) -> None:
    """End it and all its descendants: SIGTERM first, SIGKILL for what is left after ``seconds``."""
    process = _find(identity)
    if process is None:
        return
    family = [process, *_descendants(process)]
    _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs([process], timeout=seconds)
    leftover = [*alive, *(child for child in family[1:] if child.is_running())]
    for child in leftover:
        _signal(child, signal.SIGKILL)
    psutil.wait_procs(leftover, timeout=5)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


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
