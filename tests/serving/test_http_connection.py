"""The cheap HTTP connection: whole answers however they are cut, and a clear error when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from include.serving.http_connection import Answer, ConnectionLost, HttpConnection, encode_request

REQUEST = encode_request("POST", "/p", "here", b"{}", {"X-Request-Id": "7"})
OK = b"HTTP/1.1 200 OK\r\nX-Noria-Version: 3\r\nContent-Length: 4\r\n\r\nbody"


def asked(
    *parts: bytes | None, then: Callable[[HttpConnection], Awaitable[Answer]] | None = None, seconds: float = 5.0
) -> Answer:
    """What a connection makes of an answer in parts (None: the server closes); the request is checked on the way."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n{}") == REQUEST:
            for part in parts:
                if part is None:
                    writer.close()
                    return
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)

    async def ask() -> Answer:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = await HttpConnection.open("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            answer = await connection.exchange(REQUEST, seconds)
            return answer if then is None else await then(connection)
        finally:
            connection.close()
            server.close()

    return asyncio.run(ask())


def test_request_is_written_as_http_wants_it() -> None:
    assert REQUEST == b"POST /p HTTP/1.1\r\nHost: here\r\nX-Request-Id: 7\r\nContent-Length: 2\r\n\r\n{}"
    assert b"Content-Length" not in encode_request("GET", "/", "here")


@pytest.mark.parametrize(
    "parts",
    [
        [OK],
        [OK[:5], OK[5:40], OK[40:]],
        [
            b"HTTP/1.1 200 OK\r\nx-noria-version: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n",
            b"2\r\ndy\r\n0\r\n\r\n",
        ],
    ],
)
def test_answer_is_whole_however_it_arrives(parts: list[bytes]) -> None:
    answer = asked(*parts)
    assert (answer.status, answer.body, answer.headers[b"x-noria-version"]) == (200, b"body", b"3")


def test_connection_is_used_again_until_the_server_says_close() -> None:
    assert asked(OK, then=lambda connection: connection.exchange(REQUEST)).body == b"body"
    closing = OK.replace(b"Content", b"Connection: close\r\nContent")
    with pytest.raises(ConnectionLost, match="the connection is closed"):
        asked(closing, then=lambda connection: connection.exchange(REQUEST))


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([None], "the connection was closed"),
        ([OK[:-2], None], "the connection was closed"),
        ([b"what?\r\n\r\n"], "is not HTTP"),
        ([OK[:-2]], "nothing came for 0.2 s"),
    ],
)
def test_no_whole_answer_is_an_error_that_says_why(parts: list[bytes | None], problem: str) -> None:
    with pytest.raises(ConnectionLost, match=problem):
        asked(*parts, seconds=0.2)


def test_nobody_listening_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:9: ConnectionRefusedError"):
        asyncio.run(HttpConnection.open("127.0.0.1", 9))
