"""Another api-server of the running stack, on which people log in: the stack's own lets everybody on loopback in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import requests

from include.stack.instance import ProcessIdentity, is_free
from include.stack.processes import Service, start, stop, wait_until_ready
from include.stack.services import services
from tests.e2e.line import Line

USERS = {"ana": "user", "vic": "viewer"}
"""Role by name; everybody's password is the name with a word behind it."""


def password_of(user: str) -> str:
    """A user's password."""
    return f"{user}-turns-the-wheel"


@dataclass(frozen=True)
class LoginServer:
    """The server while it starts and runs."""

    address: str
    service: Service
    identity: ProcessIdentity

    def await_ready(self) -> None:
        """Until it answers."""
        wait_until_ready(self.service, self.identity, 180)


@contextmanager
def login_server(line: Line) -> Iterator[LoginServer]:
    """The server, as long as the block runs; it is not ready at once."""
    port = next(port for port in range(18080, 18180) if is_free(port))
    address = f"http://127.0.0.1:{port}"
    passwords = line.home / "passwords.json"
    passwords.write_text(json.dumps({user: password_of(user) for user in USERS}))
    (own,) = [service for service in services(line.stack) if service.name == "api-server"]
    service = replace(
        own,
        name="login-server",
        environment={
            **own.environment,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        },
        log=own.log.with_name("login-server.log"),
        ready=lambda: _answers(f"{address}/api/v2/version"),
    )
    identity = start(service)
    try:
        yield LoginServer(address, service, identity)
    finally:
        stop([identity])


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
