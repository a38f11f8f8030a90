"""The environment that a step gets: little of Airflow's own, and none of its secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.settings import PROJECT
from include.steps.environment import quiet_environment

if TYPE_CHECKING:
    from airflow.sdk import Connection

_INHERITED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy",
})  # fmt: skip
_INHERITED_PREFIXES = ("NORIA_", "LC_")


def child_environment(threads: int = 1, parent: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every child inherits: an allowlist of the parent's variables, quiet libraries, bounded threads."""
    source = os.environ if parent is None else parent
    inherited = {k: v for k, v in source.items() if k in _INHERITED or k.startswith(_INHERITED_PREFIXES)}
    return {
        **inherited,
        **quiet_environment(threads),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }


def connection_variables() -> dict[str, str]:
    """``NORIA_*`` variables from the connections that exist: noria_database, noria_mlflow, noria_server, noria_store.

    The password of noria_server is the bearer token with which steps call the server.
    """
    builders = {
        "noria_database": ("NORIA_DATABASE_URL", database_url),
        "noria_mlflow": ("NORIA_TRACKING_URL", http_url),
        "noria_server": ("NORIA_SERVER_URL", http_url),
    }
    variables = {}
    for connection_id, (variable, build) in builders.items():
        try:
            connection = BaseHook.get_connection(connection_id)
        except AirflowNotFoundException:
            continue
        variables[variable] = build(connection)
        if connection_id == "noria_server" and connection.password:
            variables["NORIA_SERVER_TOKEN"] = connection.password
    with suppress(AirflowNotFoundException):
        variables |= store_variables(BaseHook.get_connection("noria_store"))
    return variables


def store_variables(connection: Connection) -> dict[str, str]:
    """How to reach the store's bucket, from a connection of type aws: login and password are key and secret.

    Its extra may say endpoint_url, region_name, aws_session_token and allow_http, a word of our own.
    """
    extra = json.loads(connection.extra) if connection.extra else {}
    found = {
        "NORIA_STORE_KEY": connection.login,
        "NORIA_STORE_SECRET": connection.password,
        "NORIA_STORE_TOKEN": extra.get("aws_session_token"),
        "NORIA_STORE_ENDPOINT": extra.get("endpoint_url"),
        "NORIA_STORE_REGION": extra.get("region_name"),
        "NORIA_STORE_ALLOW_HTTP": str(extra["allow_http"]).lower() if "allow_http" in extra else None,
    }
    return {name: str(value) for name, value in found.items() if value}


def database_url(connection: Connection) -> str:
    """SQLAlchemy URL of a postgres connection; a Unix socket's folder is in its extra as ``{"host": "/folder"}``."""
    login = quote(connection.login or "postgres", safe="")
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    port = f":{connection.port}" if connection.port else ""
    extra = json.loads(connection.extra) if connection.extra else {}
    query = "&".join(f"{quote(str(k))}={quote(str(v), safe='/')}" for k, v in extra.items())
    address = f"{login}{password}@{connection.host or ''}{port}/{connection.schema or 'noria'}"
    return f"postgresql+psycopg2://{address}" + (f"?{query}" if query else "")


def http_url(connection: Connection) -> str:
    """Address of an http connection; its schema field may say https."""
    host = connection.host or "127.0.0.1"
    scheme = connection.schema or "http"
    base = host if "://" in host else f"{scheme}://{host}"
    return f"{base}:{connection.port}" if connection.port else base
