"""A real MLflow server over a database that tests share, which can be away for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.serving.live import free_port, until

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MlflowServer:
    """Starts and stops it; the address stays.

    :param store: address of its database.
    """

    def __init__(self, store: str, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = str(Path(sys.executable).parent / "mlflow")
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "server", "--backend-store-uri", self._store, "--host", "127.0.0.1",
                 "--port", str(self._port), "--workers", "1"],
                env={**os.environ, **_QUIET}, cwd=self._folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._answers, 90)

    def stop(self) -> None:
        """Stop it with all of its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def mlflow_server(store: str, folder: Path) -> Iterator[MlflowServer]:
    """A server that runs, and is stopped at the end."""
    server = MlflowServer(store, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
