"""The server as a process of its own: workers, a clean end."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import orjson
import pytest

from include.registry.mlflow_client import connect
from include.settings import Settings
from tests.serving.live import GOOD_ROW, Logged, as_process, deploy, register, serving, until

pytestmark = pytest.mark.database


def test_workers_serve_the_same_and_end_after_the_requests_under_way(
    tracked: Settings, logged_models: list[Logged], tmp_path: Path
) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    with as_process(tracked, tmp_path / "server.log", workers=2) as (live, process):
        # A new connection each time, since each worker loads the model by itself and any of them may be asked.
        fresh = httpx.Limits(max_keepalive_connections=0)
        client = httpx.Client(base_url=live.server_url, trust_env=False, timeout=30, limits=fresh)

        def is_up() -> bool:
            try:
                return all(serving(client, version) for _ in range(20))
            except httpx.TransportError:
                return False

        until(is_up, 90)
        host, port = live.server_url.removeprefix("http://").split(":")
        body = orjson.dumps({"rows": [GOOD_ROW]})
        with socket.create_connection((host, int(port)), timeout=40) as under_way:
            head = f"POST /models/m/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            under_way.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
            time.sleep(1)
            os.kill(process.pid, signal.SIGTERM)
            time.sleep(1)
            under_way.sendall(body[10:])
            assert under_way.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert process.wait(timeout=40) == 0
        with pytest.raises(httpx.ConnectError):
            client.get("/health/live")
        client.close()
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_aliases_in_mlflow_follow_the_state_by_themselves(
    tracked: Settings, logged_models: list[Logged], tmp_path: Path
) -> None:
    first, second = (register(tracked, logged, model="followed") for logged in logged_models[:2])
    deploy(tracked, first, "followed")
    mlflow = connect(tracked)

    def aliases() -> dict[str, int]:
        return {name: int(number) for name, number in mlflow.get_registered_model("followed").aliases.items()}

    with as_process(tracked, tmp_path / "server.log"):
        until(lambda: aliases() == {"champion": first}, 90)
        deploy(tracked, second, "followed")
        until(lambda: aliases() == {"champion": second, "previous": first}, 30)


def test_wrong_arguments_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    from include.serving.__main__ import main

    with pytest.raises(SystemExit):
        main(["--workers", "0"])
    assert "--workers must be at least 1" in capsys.readouterr().err
