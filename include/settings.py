"""Where things are: the one home of the ``NORIA_*`` environment variables.

Read once at a process's edge (a command line, a server's start) and passed on as a value. Library code takes a
``Settings``; it never reads the environment itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

_DEFAULT_DATABASE = "postgresql+psycopg2://postgres@127.0.0.1:5432/noria"
_DEFAULT_TRACKING = "http://127.0.0.1:5000"
_DEFAULT_SERVER = "http://127.0.0.1:8090"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Addresses and folders that a process works with.

    :param home: state of the local stack: logs, caches, Airflow's home (``NORIA_HOME``, default ``.noria``).
    :param store: root of landing files, lake, staging, quarantine and reports (``NORIA_STORE``, default
        ``<home>/store``).
    :param models: folder of model definitions (``NORIA_MODELS``, default ``include/models``).
    :param dags: folder of the DAG files that Airflow reads (``NORIA_DAGS``, default ``dags``).
    :param expectations: folder of Great Expectations suites (``NORIA_EXPECTATIONS``, default ``expectations``).
    :param database_url: SQLAlchemy URL of the database with deployment state, ledger and results
        (``NORIA_DATABASE_URL``); may hold a password, so it is never printed.
    :param tracking_url: MLflow's address (``NORIA_TRACKING_URL``).
    :param server_url: the inference server's address (``NORIA_SERVER_URL``).
    :param server_token: bearer token with which steps call that server (``NORIA_SERVER_TOKEN``), if it asks for one.
    :param server_tokens: file of the tokens that this machine's server accepts (``NORIA_SERVER_TOKENS``): JSON
        ``{"predict": [...], "admin": [...]}``; without it the server asks for none.
    :param hashing_key: file of the key with which the request log hashes personal data (``NORIA_HASHING_KEY``); servers
        that share a store must share it. Without it each home makes its own.
    """

    home: Path
    store: Path
    models: Path
    dags: Path
    expectations: Path
    database_url: str
    tracking_url: str
    server_url: str
    server_token: str | None = field(default=None, repr=False)
    server_tokens: Path | None = None
    hashing_key: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the documented ``NORIA_*`` variables; everything has a default that suits the local stack."""
        env = os.environ if environment is None else environment
        home = Path(env.get("NORIA_HOME", PROJECT / ".noria")).absolute()
        return cls(
            home=home,
            store=Path(env.get("NORIA_STORE", home / "store")).absolute(),
            models=Path(env.get("NORIA_MODELS", PROJECT / "include" / "models")).absolute(),
            dags=Path(env.get("NORIA_DAGS", PROJECT / "dags")).absolute(),
            expectations=Path(env.get("NORIA_EXPECTATIONS", PROJECT / "expectations")).absolute(),
            database_url=env.get("NORIA_DATABASE_URL", _DEFAULT_DATABASE),
            tracking_url=env.get("NORIA_TRACKING_URL", _DEFAULT_TRACKING),
            server_url=env.get("NORIA_SERVER_URL", _DEFAULT_SERVER),
            server_token=env.get("NORIA_SERVER_TOKEN") or None,
            server_tokens=Path(tokens).absolute() if (tokens := env.get("NORIA_SERVER_TOKENS")) else None,
            hashing_key=Path(key).absolute() if (key := env.get("NORIA_HASHING_KEY")) else None,
        )
