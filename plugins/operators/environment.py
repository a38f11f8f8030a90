"""The environment that a step gets: little of Airflow's own, and none of its secrets."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from airflow.sdk.log import mask_secret

from include.settings import CONNECTION_PREFIX, PROJECT, SIGNING_KEY, Settings, connection_variable
from include.spec.definition import Definition
from include.steps.environment import quiet_environment

if TYPE_CHECKING:
    from airflow.sdk import Connection

_INHERITED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy",
})  # fmt: skip
_INHERITED_PREFIXES = ("NORIA_", "LC_")
_DRIVERS = {"postgres": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mssql": "mssql+pymssql"}


def child_environment(threads: int = 1, parent: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every child inherits: an allowlist of the parent's variables, quiet libraries, bounded threads.

    Addresses of sources' databases and the key that signs versions are not among them: :func:`source_variables` and
    :func:`signing_variables` add what a step needs.
    """
    source = os.environ if parent is None else parent
    inherited = {k: v for k, v in source.items() if k in _INHERITED or k.startswith(_INHERITED_PREFIXES)}
    inherited = {k: v for k, v in inherited.items() if not k.startswith(CONNECTION_PREFIX) and k != SIGNING_KEY}
    return {
        **inherited,
        **quiet_environment(threads),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }


def project_settings() -> Settings:
    """The settings of a step, for a look from inside an Airflow process: Airflow's connections go first."""
    return Settings.from_environment({**os.environ, **connection_variables()})


def tracking_page() -> str:
    """Where a person's browser finds MLflow: the extra ``page`` of the connection noria_mlflow, else where steps do.

    Within a cluster MLflow has a name that only the cluster knows.
    """
    try:
        connection = BaseHook.get_connection("noria_mlflow")
    except AirflowNotFoundException:
        return Settings.from_environment().tracking_url
    extra = json.loads(connection.extra) if connection.extra else {}
    return str(extra.get("page") or http_url(connection)).rstrip("/")


def connection_variables() -> dict[str, str]:
    """``NORIA_*`` variables from the connections that exist: noria_database, noria_mlflow, noria_server, noria_store.

    The last one is asked for if the store is in a bucket. The password of noria_server is the bearer token with which
    steps call the server.
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
    if "://" in os.environ.get("NORIA_STORE", ""):  # else there is no bucket, and each task would ask for nothing
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


def source_variables(definition: Definition) -> dict[str, str]:
    """The one variable that leads to the database of a model's source, if it has one: ``NORIA_CONNECTION_<ID>``.

    Airflow masks its password and the whole address in task logs from here on. Without such a connection in Airflow
    the environment's own variable of that name counts.
    """
    name = definition.source.connection
    if name is None:
        return {}
    variable = connection_variable(name)
    try:
        connection = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return {variable: os.environ[variable]} if variable in os.environ else {}
    url = sqlalchemy_url(connection)
    mask_secret(url)
    if connection.password:
        mask_secret(connection.password)
    return {variable: url}


def signing_variables() -> dict[str, str]:
    """The key that signs versions, for the step that registers them: the password of the connection noria_signing.

    It is the key in PEM, or that in base64, which fits into one line. Airflow masks it from here on. Without such a
    connection in Airflow the environment's own ``NORIA_SIGNING_KEY`` counts, which may name a file.
    """
    try:
        password = BaseHook.get_connection("noria_signing").password
    except AirflowNotFoundException:
        return {SIGNING_KEY: os.environ[SIGNING_KEY]} if os.environ.get(SIGNING_KEY) else {}
    if not password:
        return {}
    pem = _pem(password)
    for word in (password, pem, *pem.splitlines()):
        if not word.startswith("-----"):
            mask_secret(word)
    return {SIGNING_KEY: pem}


def _pem(password: str) -> str:
    """The PEM that a password is, or is in base64.

    :raises AirflowFailException: it is neither; a retry cannot help.
    """
    text = password.replace("\\n", "\n")  # as some put a text of several lines into one
    if "-----BEGIN" not in text:
        with suppress(ValueError):
            text = base64.b64decode("".join(password.split()), validate=True).decode()
    if "-----BEGIN" not in text:
        raise AirflowFailException(
            "The password of the Airflow connection noria_signing is no key in PEM, nor one in base64. "
            "python -m include.registry keygen makes one: give its file's whole content, or `base64 -w0` of it."
        )
    return text


def sqlalchemy_url(connection: Connection) -> str:
    """SQLAlchemy URL of a connection of any type.

    Its extra may name another ``drivername`` (such as ``mssql+pyodbc``); all else in it becomes a parameter of the URL.
    A Unix socket's folder is such a parameter, ``{"host": "/folder"}``; the file of SQLite is the host or the schema.
    """
    from sqlalchemy.engine import URL

    extra = json.loads(connection.extra) if connection.extra else {}
    kind = (connection.conn_type or "").replace("-", "_")
    driver = str(extra.pop("drivername", _DRIVERS.get(kind, kind)))
    if driver == "sqlite":
        return URL.create(driver, database=connection.schema or connection.host).render_as_string()
    return URL.create(
        driver,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port or None,
        database=connection.schema or None,
        query={str(name): str(value) for name, value in extra.items()},
    ).render_as_string(hide_password=False)


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
