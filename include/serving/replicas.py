"""Every replica of the inference server behind one address: a version is live when each of them answers with it.

A name that stands for several addresses, as a headless Service's does, names the replicas; callers would meet any of
them. A name with one address, an address, and ``https`` (whose certificate is the name's) are asked as they are.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from include.serving.verification import LiveServer, ServerUnreachable, Verified

_Answer = TypeVar("_Answer")


def replica_urls(url: str) -> list[str]:
    """The address of each replica, in a fixed order; the address itself if it does not stand for several.

    IPv4 goes first: where both families name the same replicas, each is asked once.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return [url]
    for family in (socket.AF_INET, socket.AF_INET6):
        hosts = sorted(_addresses(parts.hostname, parts.port or 80, family))
        if len(hosts) > 1:
            login, at, _ = parts.netloc.rpartition("@")
            port = f":{parts.port}" if parts.port else ""
            named = (f"[{host}]" if family == socket.AF_INET6 else host for host in hosts)
            return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}{port}")) for host in named]
    return [url]


def _addresses(host: str, port: int, family: socket.AddressFamily) -> set[str]:
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(entry[4][0]) for entry in found}


class LiveServers:
    """The replicas of the inference server as their callers see them, asked one after the other.

    A replica that leaves while it is asked is nobody's business any more; one that comes is asked too.

    :param url: the address of all.
    :param model: the model that is asked.
    :param seconds: how long to wait for them, in all.
    :param token: admin token to send, if the servers ask for one.
    """

    def __init__(self, url: str, model: str, *, seconds: float, token: str | None = None) -> None:
        self._url = url
        self._model = model
        self._token = token
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def wait_for(self, version: int, *, role: str | None = None) -> None:
        """Return when every replica holds the version; see :meth:`LiveServer.wait_for`.

        :raises AccessDenied: one asks for another token.
        :raises ServerUnreachable: one did not answer in time, or none is there.
        :raises VersionNotServed: one answered, but does not hold the version.
        """
        self._each(lambda server: server.wait_for(version, role=role))

    def verify(self, version: int, rows: Sequence[dict[str, Any]], expected: Sequence[float]) -> Verified:
        """Send all rows to every replica; see :meth:`LiveServer.verify`.

        :raises AccessDenied: one asks for an admin token.
        :raises ServerUnreachable: one went away and did not come back in time.
        :raises VersionNotServed: another version answers.
        """
        found = self._each(lambda server: server.verify(version, rows, expected))
        return Verified(
            rows=found[0].rows,
            single_rows=found[0].single_rows,
            differences=[difference for one in found for difference in one.differences],
            servers=len(found),
        )

    def _each(self, ask: Callable[[LiveServer], _Answer]) -> list[_Answer]:
        """Ask each replica once, those that appear meanwhile too; one answer at least."""
        answers: list[_Answer] = []
        asked: set[str] = set()
        while waiting := [url for url in replica_urls(self._url) if url not in asked]:
            for url in waiting:
                asked.add(url)
                try:
                    answers.append(self._ask(url, ask))
                except ServerUnreachable:
                    if self._is_listed(url) or (not answers and time.monotonic() >= self._deadline):
                        raise
        if not answers:
            return [self._ask(self._url, ask)]
        return answers

    def _ask(self, url: str, ask: Callable[[LiveServer], _Answer]) -> _Answer:
        seconds = max(0.0, self._deadline - time.monotonic())
        with LiveServer(
            url,
            self._model,
            seconds=seconds,
            token=self._token,
            host=urlsplit(self._url).hostname,
            is_listed=lambda: self._is_listed(url),
        ) as server:
            return ask(server)

    def _is_listed(self, url: str) -> bool:
        return url == self._url or url in replica_urls(self._url)
