"""The server as a process of its own: workers, a clean end."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from include.settings import Settings
from tests.serving.live import Logged, as_process, deploy, predict, register, serving, until

pytestmark = pytest.mark.database


def test_workers_serve_the_same_and_end_after_the_requests_under_way(
    tracked: Settings, logged_models: list[Logged], tmp_path: Path
) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    with as_process(tracked, tmp_path / "server.log", workers=2) as (live, process):
        client = httpx.Client(base_url=live.server_url, trust_env=False, timeout=30)

        def is_up() -> bool:
            try:
                return serving(client, version)
            except httpx.TransportError:
                return False

        until(is_up, 90)
        answered: list[int] = []
        refused: list[str] = []

        def ask() -> None:
            with httpx.Client(base_url=live.server_url, trust_env=False, timeout=30) as own:
                while not refused:
                    try:
                        answered.append(predict(own).status_code)
                    except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
                        refused.append(str(error))  # the port is closed, or an idle connection was

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        for thread in asking:
            thread.join()
        assert answered
        assert set(answered) <= {200, 503}
        client.close()
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_wrong_arguments_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    from include.serving.__main__ import main

    with pytest.raises(SystemExit):
        main(["--workers", "0"])
    assert "--workers must be at least 1" in capsys.readouterr().err
