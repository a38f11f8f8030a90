"""Load on a server: a closed loop of keep-alive connections that remembers every request, and what came of it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import uvloop

from include.serving.http_connection import Answer, ConnectionLost, HttpConnection

RECONNECT_SECONDS = 0.02


@dataclass(frozen=True)
class Template:
    """Requests that differ in their ids and bodies only.

    :param headers: further headers, as they are on the wire.
    """

    url: str
    path: str
    headers: tuple[str, ...] = ("Content-Type: application/json",)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    def request(self, body: bytes, request_id: str | None = None) -> bytes:
        """A whole request as bytes."""
        host, port = self.place
        named = () if request_id is None else (f"X-Request-Id: {request_id}",)
        lines = (f"POST {self.path} HTTP/1.1", f"Host: {host}:{port}", *self.headers, *named)
        return "\r\n".join((*lines, f"Content-Length: {len(body)}", "\r\n")).encode() + body


@dataclass(slots=True)
class Sent:
    """One request and what came of it.

    :param status: HTTP status; 0 if the connection was lost first.
    :param version: the version that the answer names, or None.
    :param role: the role that it names, or None.
    :param started: seconds since the epoch.
    :param ended: seconds since the epoch.
    :param problem: why there was no answer, or the answer's text if it is no 200.
    """

    request_id: str
    status: int
    version: int | None
    role: str | None
    started: float
    ended: float
    problem: str = ""


@dataclass
class Load:
    """All requests of a load, in the order of their ends."""

    sent: list[Sent] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def answered(self) -> list[Sent]:
        """Requests with a 200."""
        return [one for one in self.sent if one.status == 200]

    @property
    def lost(self) -> list[Sent]:
        """Requests whose connection ended before the answer."""
        return [one for one in self.sent if one.status == 0]

    def statuses(self) -> dict[int, int]:
        """Requests by status."""
        return dict(Counter(one.status for one in self.sent))


class ClosedLoop:
    """Each connection sends its next request when the answer to the last one is there.

    :param template: where to, with what headers.
    :param bodies: sent in turn.
    :param named: give each request an id of its own (``X-Request-Id``), so that it is found in the log.
    """

    def __init__(self, template: Template, bodies: Sequence[bytes], *, named: bool = True) -> None:
        self.template = template
        self.load = Load()
        self._run = uuid.uuid4().hex[:10]
        self._numbers = itertools.count()
        self._prepared = [] if named else [template.request(body) for body in bodies]
        self._bodies = bodies
        self._stop = False

    def stop(self) -> None:
        """Send nothing more."""
        self._stop = True

    @contextmanager
    def running(self, connections: int) -> Iterator[ClosedLoop]:
        """Send in a thread for as long as the block; at its end all requests are answered."""
        thread = threading.Thread(target=lambda: uvloop.run(self.run(connections)))
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join(timeout=120)

    async def run(self, connections: int, *, seconds: float = 3600.0, requests: int = 1 << 60) -> Load:
        """Send for so long, or so many."""
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._send(begin + seconds, requests))
        self.load.seconds = time.perf_counter() - begin
        return self.load

    async def _send(self, deadline: float, requests: int) -> None:
        connection: HttpConnection | None = None
        while not self._stop and time.perf_counter() < deadline:
            number = next(self._numbers)
            if number >= requests:
                break
            request_id, request = self._next(number)
            started, begin = time.time(), time.perf_counter()
            try:
                if connection is None or connection.closed:
                    connection = await HttpConnection.open(*self.template.place)
                    started, begin = time.time(), time.perf_counter()
                answer = await connection.exchange(request)
            except ConnectionLost as lost:
                self.load.sent.append(Sent(request_id, 0, None, None, started, time.time(), lost.problem))
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            self.load.sent.append(_sent(request_id, answer, started, started + time.perf_counter() - begin))
        if connection is not None:
            connection.close()

    def _next(self, number: int) -> tuple[str, bytes]:
        if self._prepared:
            return "", self._prepared[number % len(self._prepared)]
        request_id = f"load-{self._run}-{number}"
        return request_id, self.template.request(self._bodies[number % len(self._bodies)], request_id)


def _sent(request_id: str, answer: Answer, started: float, ended: float) -> Sent:
    version, role = answer.headers.get(b"x-noria-version"), answer.headers.get(b"x-noria-role")
    return Sent(
        request_id,
        answer.status,
        int(version) if version else None,
        role.decode() if role else None,
        started,
        ended,
        "" if answer.status == 200 else answer.body[:300].decode("utf-8", "replace"),
    )


def send(
    template: Template,
    bodies: Sequence[bytes],
    connections: int,
    *,
    seconds: float = 3600.0,
    requests: int = 1 << 60,
    named: bool = True,
) -> Load:
    """Load a server and wait for the end."""
    return uvloop.run(ClosedLoop(template, bodies, named=named).run(connections, seconds=seconds, requests=requests))


def row_bodies(rows: Sequence[dict[str, object]], per_request: int = 1) -> list[bytes]:
    """Bodies of ``POST /models/{model}/predict`` with the rows in order."""
    parts = [rows[first : first + per_request] for first in range(0, len(rows), per_request)]
    return [orjson.dumps({"rows": part}) for part in parts if len(part) == per_request]
