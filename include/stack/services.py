"""The services of the local stack in the order of their start: MLflow, server, exporter, warm parent, Airflow's.

Last comes the supervisor, which starts the others again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import requests

from include.settings import SIGNING_KEY
from include.stack.environment import Stack
from include.stack.processes import Service
from include.steps.warm_protocol import connect, socket_path

BIN = Path(sys.executable).parent
SUPERVISOR = "supervisor"
_KNOWS_THE_KEY = ("scheduler", SUPERVISOR)
"""Who is told where the key that signs versions is: who runs the step register (LocalExecutor), and who starts that."""


def services(stack: Stack) -> list[Service]:
    """All services; none listens on anything but loopback."""
    python = [sys.executable, "-m"]
    airflow = [*python, "airflow"]
    warm = _service(stack, "warm-parent", [*python, "include.steps.warm_parent"], _forks(stack.settings.home))
    return [
        *([] if stack.in_pods else _in_a_cluster_otherwise(stack)),
        warm,
        _service(stack, "api-server", [*airflow, "api-server"], _answers(f"{stack.airflow_url}/api/v2/version")),
        _service(stack, "scheduler", [*airflow, "scheduler", "--skip-serve-logs"], _healthy(stack, "scheduler")),
        _service(stack, "dag-processor", [*airflow, "dag-processor"], _healthy(stack, "dag_processor")),
        _service(stack, "triggerer", [*airflow, "triggerer", "--skip-serve-logs"], _healthy(stack, "triggerer")),
        _service(stack, SUPERVISOR, [*python, "include.stack.supervisor"], lambda: True),
    ]


def _in_a_cluster_otherwise(stack: Stack) -> list[Service]:
    server = [sys.executable, "-m", "include.serving"]
    address = ["--host", "127.0.0.1", "--port", str(stack.instance.ports["server"])]
    return [
        _service(stack, "mlflow", _mlflow_command(stack), _answers(f"{stack.settings.tracking_url}/health")),
        _service(stack, "server", [*server, *address], _answers(f"{stack.settings.server_url}/health/live")),
        _exporter(stack),
    ]


def _exporter(stack: Stack) -> Service:
    """It alone is told where Airflow's database is."""
    port = str(stack.instance.ports["exporter"])
    command = [sys.executable, "-m", "include.exporter", "--host", "127.0.0.1", "--port", port]
    service = _service(stack, "exporter", command, _answers(f"{stack.exporter_url}/metrics"))
    database = {"NORIA_AIRFLOW_DATABASE_URL": stack.postgres.url("airflow")}
    return replace(service, environment={**service.environment, **database})


def _service(stack: Stack, name: str, command: list[str], ready: Callable[[], bool]) -> Service:
    environment = stack.environment()
    if name not in _KNOWS_THE_KEY:
        environment.pop(SIGNING_KEY, None)
    return Service(name=name, command=command, environment=environment, log=stack.logs / f"{name}.log", ready=ready)


def _mlflow_command(stack: Stack) -> list[str]:
    return [
        *(str(BIN / "mlflow"), "server"),
        *("--backend-store-uri", stack.postgres.url("mlflow")),
        *("--artifacts-destination", str(_artifacts(stack))),
        *("--host", "127.0.0.1", "--port", str(stack.instance.ports["mlflow"])),
        *("--workers", "1"),
    ]


def _artifacts(stack: Stack) -> Path:
    """MLflow's own folder: in the store, if that is a folder of this machine."""
    settings = stack.settings
    return (settings.store if settings.bucket is None else settings.home) / "mlflow"


def _answers(address: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return requests.get(address, timeout=5).ok
        except requests.RequestException:
            return False

    return ready


def _forks(home: Path) -> Callable[[], bool]:
    def ready() -> bool:
        connection = connect(socket_path(home), seconds=5)
        if connection is None:
            return False
        connection.close()
        return True

    return ready


def _healthy(stack: Stack, component: str) -> Callable[[], bool]:
    address = f"{stack.airflow_url}/api/v2/monitor/health"

    def ready() -> bool:
        try:
            health = requests.get(address, timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return bool(health.get(component, {}).get("status") == "healthy")

    return ready
