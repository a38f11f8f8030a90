"""Connections that do not get on, ask for too much, or break off: each ends by itself and harms nobody."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from include.serving.app import build
from include.serving.limits import Limits
from include.serving.supervisor import listen
from include.serving.worker import Worker
from include.settings import Settings
from tests.serving.live import free_port, until


@contextmanager
def in_a_thread(app: Any, limits: Limits) -> Iterator[tuple[str, int]]:
    listener = listen("127.0.0.1", free_port())
    place = listener.getsockname()
    worker = Worker(app, limits)
    thread = threading.Thread(target=worker.serve_on, args=(listener,))
    thread.start()
    until(lambda: worker.started)
    yield place
    worker.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture
def slowly(settings: Settings) -> Iterator[tuple[str, int]]:
    limits = Limits(head_seconds=0.5, body_seconds=0.5, linger_seconds=0.1, poll_seconds=0.1)
    with in_a_thread(build(settings, limits), limits) as place:
        yield place


@pytest.mark.parametrize(
    "sent", [b"", b"POST /models/m/predict HT", b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "]
)
def test_connection_that_does_not_get_on_with_its_head_is_closed(slowly: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(slowly, timeout=15) as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""


def test_head_that_comes_slowly_after_an_answer_is_not_waited_for_either(slowly: tuple[str, int]) -> None:
    with socket.create_connection(slowly, timeout=15) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health/li")
        assert connection.recv(100) == b""


@pytest.mark.parametrize(
    "sent", [b"Content-Length: 50\r\n\r\n{", b"Content-Length: 50\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_body_that_does_not_come_is_a_408(slowly: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(slowly, timeout=15) as connection:
        connection.sendall(b"POST /models/m/feedback HTTP/1.1\r\nHost: x\r\n" + sent)
        assert connection.recv(4000).startswith(b"HTTP/1.1 408")
        connection.settimeout(5)
        assert connection.recv(4000) == b""


def test_head_that_does_not_end_is_a_431(slowly: tuple[str, int]) -> None:
    for begun, more in (
        (b"GET /", b"a"),
        (b"GET /docs HTTP/1.1\r\nA: ", b"a"),
        (b"GET /docs HTTP/1.1\r\n", b"A: b\r\n"),
    ):
        with socket.create_connection(slowly, timeout=15) as connection:
            connection.sendall(begun)
            for _ in range(100):
                connection.sendall(more * (6000 // len(more)))
                if select.select([connection], [], [], 0.02)[0]:
                    break
            assert connection.recv(4000).startswith(b"HTTP/1.1 431")
    assert httpx.get(f"http://127.0.0.1:{slowly[1]}/health/live", trust_env=False).status_code == 200


def test_large_head_and_a_body_in_pieces_are_answered(slowly: tuple[str, int]) -> None:
    headers = {f"X-{number}": "a" * 4000 for number in range(10)}
    with httpx.Client(base_url=f"http://127.0.0.1:{slowly[1]}", trust_env=False) as client:
        for _ in range(3):
            assert client.get("/health/live", headers=headers).status_code == 200
            assert client.post("/models/m/feedback", content=iter([b" " * 100_000] * 9)).status_code == 503


def test_connection_that_ends_in_the_middle_harms_nobody(slowly: tuple[str, int]) -> None:
    for sent in (
        b"POST /models/m/feedback HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
        b"\x16\x03\x01",
        b"\r\n" * 50,
    ):
        with socket.create_connection(slowly, timeout=15) as connection:
            connection.sendall(sent)
    assert httpx.get(f"http://127.0.0.1:{slowly[1]}/health/live", trust_env=False).status_code == 200
