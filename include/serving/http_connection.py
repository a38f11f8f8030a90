"""A keep-alive HTTP/1.1 connection that costs some microseconds a request: what replay and load tests send over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httptools

from include.errors import TryAgain

SECONDS = 30.0


class ConnectionLost(TryAgain):
    """The connection ended, or was silent for too long, before the whole answer was here.

    :param where: host and port.
    :param problem: what happened.
    """

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"No answer from {where}: {problem}. Look at the server's log, and try again.")


@dataclass(slots=True)
class Answer:
    """What came back: status, headers by lower-case name, body."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


def encode_request(
    method: str, path: str, host: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole request as bytes.

    :param host: host and port, for the Host header.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


class HttpConnection(asyncio.Protocol):
    """One connection; one request at a time.

    :param where: host and port, for messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._parts: list[bytes] = []

    @classmethod
    async def open(cls, host: str, port: int) -> HttpConnection:
        """Connect.

        :raises ConnectionLost: nothing listens there.
        """
        where = f"{host}:{port}"
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(lambda: cls(where), host, port)
        except OSError as error:
            raise ConnectionLost(where, f"{type(error).__name__}: {error}") from None
        return protocol

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport is None

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def exchange(self, request: bytes, seconds: float = SECONDS) -> Answer:
        """Send a request and wait for its answer.

        :param request: what :func:`encode_request` made.
        :param seconds: how long the answer may take.
        :raises ConnectionLost: it did not come; the connection is closed.
        """
        if self._transport is None:
            raise ConnectionLost(self._where, "the connection is closed")
        self._waiting = self._loop.create_future()
        late = self._loop.call_later(seconds, self._end, f"nothing came for {seconds:g} s")
        try:
            self._transport.write(request)
            return await self._waiting
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            late.cancel()
            self._waiting = None

    # -- called by asyncio and by the parser --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"the answer is not HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request under way, if there is one."""
        self._end("the connection was closed" if error is None else f"{type(error).__name__}: {error}")

    def on_message_begin(self) -> None:
        """Begin a new answer."""
        self._answer, self._parts = Answer(), []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._answer.headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        answer = self._answer
        answer.status = self._parser.get_status_code()
        answer.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _end(self, problem: str) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionLost(self._where, problem))
