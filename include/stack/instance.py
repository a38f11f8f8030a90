"""The local stack's own memory: its name, ports, secrets and process ids, in ``<home>/stack.json``."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from include.errors import Refused

_DEFAULT_PORTS = {"airflow": 8080, "mlflow": 5000, "server": 8090, "exporter": 9464}


class PortTaken(Refused):
    """A port that was asked for by name cannot be had."""

    def __init__(self, variable: str, port: int) -> None:
        self.variable = variable
        self.port = port
        super().__init__(f"Port {port}, asked for by {variable}, is in use on 127.0.0.1. Name a free one.")


class NoPort(Refused):
    """A variable that should name a port does not."""

    def __init__(self, variable: str, value: str) -> None:
        self.variable = variable
        self.value = value
        super().__init__(f"{variable} is {value!r}, which is no port. Name a number from 1024 to 65535.")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that outlives whoever started it; the start time tells it from a later one with the same id.

    :param again: how often the supervisor has started the service again since somebody did.
    """

    pid: int
    started: float
    again: int = 0


@dataclass(frozen=True)
class Instance:
    """One local stack.

    :param name: unique for each new ``home``, so that nothing outside the folder is ever taken for its own.
    :param ports: loopback ports by service: airflow, mlflow, server, exporter.
    :param secrets: keys that Airflow's processes share.
    :param processes: what was started, by service.
    """

    name: str
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    processes: Mapping[str, ProcessIdentity] = field(default_factory=dict)

    def with_process(self, service: str, identity: ProcessIdentity) -> Instance:
        """A copy that remembers the process of a service."""
        return replace(self, processes={**self.processes, service: identity})


def _file(home: Path) -> Path:
    return home / "stack.json"


def load_instance(home: Path) -> Instance | None:
    """The stack that was set up in ``home``, or None."""
    try:
        document = json.loads(_file(home).read_text())
    except FileNotFoundError:
        return None
    processes = {name: ProcessIdentity(**value) for name, value in document.pop("processes").items()}
    return _with_every_port(Instance(**document, processes=processes))


def make_private(home: Path) -> None:
    """Make the folder of a stack, for its owner only: logs, data and sockets in it are nobody else's business."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)


def save_instance(home: Path, instance: Instance) -> None:
    """Write it atomically, readable by its owner only."""
    make_private(home)
    partial = _file(home).with_suffix(f".{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        json.dump(asdict(instance), handle, indent=1)
    partial.rename(_file(home))


def new_instance(environment: Mapping[str, str]) -> Instance:
    """A stack with a new name, fresh secrets and free ports.

    :raises PortTaken: if ``NORIA_<SERVICE>_PORT`` names a port that is in use.
    :raises NoPort: if it names none.
    """
    return Instance(
        name=f"stack-{uuid.uuid4().hex[:12]}",
        ports=_choose_ports(environment),
        secrets={
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt": secrets.token_urlsafe(48),
            "session": secrets.token_urlsafe(48),
        },
    )


def with_free_ports(instance: Instance) -> Instance:
    """A copy whose ports are free: one that somebody else has taken since is replaced by the next free one."""
    ports: dict[str, int] = {}
    for service, port in instance.ports.items():
        ports[service] = _first_free(port, set(ports.values()))
    return replace(instance, ports=ports)


def _with_every_port(instance: Instance) -> Instance:
    """A stack of before a service was added has no port for it."""
    ports = dict(instance.ports)
    for service in _DEFAULT_PORTS.keys() - ports.keys():
        ports[service] = _first_free(_DEFAULT_PORTS[service], set(ports.values()))
    return replace(instance, ports=ports)


def _choose_ports(environment: Mapping[str, str]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for service, default in _DEFAULT_PORTS.items():
        variable = f"NORIA_{service.upper()}_PORT"
        if variable in environment:
            wanted = _port(variable, environment[variable])
            if not is_free(wanted):
                raise PortTaken(variable, wanted)
            chosen[service] = wanted
        else:
            chosen[service] = _first_free(default, set(chosen.values()))
    return chosen


def _port(variable: str, value: str) -> int:
    if not value.isdecimal() or not 1024 <= int(value) <= 65535:
        raise NoPort(variable, value)
    return int(value)


def _first_free(port: int, taken: set[int]) -> int:
    while port in taken or not is_free(port):
        port += 1
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
