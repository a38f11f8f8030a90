"""Airflow's connections to what a test runs, as environment variables hold them."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.engine import make_url

from include.settings import Settings


def connection(url: str) -> str:
    """Airflow's connection to a database behind a Unix socket."""
    parts = make_url(url)
    return json.dumps(
        {
            "conn_type": "postgres",
            "login": parts.username,
            "password": parts.password,
            "host": parts.host,
            "port": parts.port,
            "schema": parts.database,
            "extra": dict(parts.query),
        }
    )


def connect_airflow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow's processes know the database by their connection; nothing answers for MLflow and server."""
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_DATABASE", connection(settings.database_url))
    for name in ("MLFLOW", "SERVER"):
        monkeypatch.setenv(f"AIRFLOW_CONN_NORIA_{name}", "http://127.0.0.1:9")
