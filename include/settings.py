"""Where things are: the one home of the ``NORIA_*`` environment variables.

Read once at a process's edge (a command line, a server's start) and passed on as a value. Library code takes a
``Settings``; it never reads the environment itself.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.errors import Refused

PROJECT = Path(__file__).resolve().parent.parent
COPY_PREFIX = "noria-store-"

_DEFAULT_DATABASE = "postgresql+psycopg2://postgres@127.0.0.1:5432/noria"
_DEFAULT_TRACKING = "http://127.0.0.1:5000"
_DEFAULT_SERVER = "http://127.0.0.1:8090"
_SCHEME = "s3://"
CONNECTION_PREFIX = "NORIA_CONNECTION_"
DRAFT_FROM = "NORIA_DRAFT_FROM"
SIGNING_KEY = "NORIA_SIGNING_KEY"
TRUSTED_KEYS = "NORIA_TRUSTED_KEYS"
PEM = "-----BEGIN "
"""What a key begins with that is given itself, not by the name of its file."""
_YES = frozenset({"1", "true", "yes", "on"})


class BadStore(Refused):
    """The variables that say where the store is contradict each other, or name something that is no store."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f"{problem}. {cure}")


class NoConnection(Refused):
    """A source's connection is not known; carries its id."""

    def __init__(self, connection: str) -> None:
        self.connection = connection
        super().__init__(
            f"The connection {connection} is not known here. In Airflow, add a connection with that id; for a step "
            f"that runs by itself or in a pod, set {connection_variable(connection)} to the database's SQLAlchemy URL."
        )


def connection_variable(connection: str) -> str:
    """Name of the environment variable with the SQLAlchemy URL of a connection."""
    return f"{CONNECTION_PREFIX}{connection.upper()}"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A store in S3-compatible object storage.

    :param name: the bucket's name.
    :param prefix: below which everything lies, without slashes at its ends; empty for the whole bucket.
    :param endpoint: address of the S3 API (``NORIA_STORE_ENDPOINT``); None for Amazon's own.
    :param region: (``NORIA_STORE_REGION``); None leaves it to the machine's own configuration.
    :param key: access key (``NORIA_STORE_KEY``); without one the machine's own identity is used (a role, AWS_*).
    :param secret: its secret (``NORIA_STORE_SECRET``).
    :param token: session token of temporary credentials (``NORIA_STORE_TOKEN``).
    :param allow_http: whether the endpoint may be spoken to without encryption (``NORIA_STORE_ALLOW_HTTP``).
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    allow_http: bool = False

    @property
    def url(self) -> str:
        """``s3://<name>/<prefix>``, without a slash at the end."""
        return f"{_SCHEME}{self.name}/{self.prefix}".rstrip("/")

    @property
    def secrets(self) -> list[str]:
        """What must never be shown."""
        return [word for word in (self.key, self.secret, self.token) if word]

    def to_environment(self) -> dict[str, str]:
        """The variables from which :meth:`Settings.from_environment` makes it again."""
        found = {
            "NORIA_STORE": self.url,
            "NORIA_STORE_ENDPOINT": self.endpoint,
            "NORIA_STORE_REGION": self.region,
            "NORIA_STORE_KEY": self.key,
            "NORIA_STORE_SECRET": self.secret,
            "NORIA_STORE_TOKEN": self.token,
            "NORIA_STORE_ALLOW_HTTP": "true" if self.allow_http else None,
        }
        return {name: value for name, value in found.items() if value}

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Bucket:
        """Read ``NORIA_STORE`` and the variables that go with it.

        :raises BadStore: if they do not fit together.
        """
        name, _, prefix = env["NORIA_STORE"].removeprefix(_SCHEME).partition("/")
        if not name or ".." in prefix.split("/"):
            raise BadStore(f"NORIA_STORE is {env['NORIA_STORE']!r}", "Write it like s3://bucket/prefix")
        bucket = cls(
            name=name,
            prefix=prefix.strip("/"),
            endpoint=(env.get("NORIA_STORE_ENDPOINT") or "").rstrip("/") or None,
            region=env.get("NORIA_STORE_REGION") or None,
            key=env.get("NORIA_STORE_KEY") or None,
            secret=env.get("NORIA_STORE_SECRET") or None,
            token=env.get("NORIA_STORE_TOKEN") or None,
            allow_http=env.get("NORIA_STORE_ALLOW_HTTP", "").lower() in _YES,
        )
        bucket._check()
        return bucket

    def _check(self) -> None:
        if (self.key is None) != (self.secret is None):
            given, absent = ("KEY", "SECRET") if self.key else ("SECRET", "KEY")
            raise BadStore(
                f"NORIA_STORE_{given} is set, but NORIA_STORE_{absent} is not",
                "Set both, or neither to use the machine's own identity",
            )
        if self.token and self.key is None:
            raise BadStore(
                "NORIA_STORE_TOKEN is set without NORIA_STORE_KEY and NORIA_STORE_SECRET", "Set all three, or none"
            )
        if self.endpoint is None:
            return
        scheme, separator, rest = self.endpoint.partition("://")
        if not separator or scheme not in ("http", "https") or "@" in rest:
            raise BadStore(
                "NORIA_STORE_ENDPOINT is no address of an S3 API",
                "Write it like https://objects.example.com; credentials go to NORIA_STORE_KEY and NORIA_STORE_SECRET",
            )
        if scheme == "http" and not self.allow_http:
            raise BadStore(
                f"The endpoint {self.endpoint} would be spoken to without encryption",
                "Write https, or allow it with NORIA_STORE_ALLOW_HTTP=true",
            )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Addresses and folders that a process works with.

    :param home: state of the local stack: logs, caches, Airflow's home (``NORIA_HOME``, default ``.noria``).
    :param store: root of landing files, lake, staging, quarantine and reports (``NORIA_STORE``, default
        ``<home>/store``). If the store is a bucket, the folder of this process's own copies of what it reads and
        writes; :mod:`include.lake.store` brings them from there and back.
    :param bucket: the store, if ``NORIA_STORE`` is an ``s3://`` address.
    :param models: folder of model definitions (``NORIA_MODELS``, default ``include/models``).
    :param dags: folder of the DAG files that Airflow reads (``NORIA_DAGS``, default ``dags``).
    :param expectations: folder of Great Expectations suites (``NORIA_EXPECTATIONS``, default ``expectations``).
    :param database_url: SQLAlchemy URL of the database with deployment state, ledger and results
        (``NORIA_DATABASE_URL``); may hold a password, so it is never printed.
    :param tracking_url: MLflow's address (``NORIA_TRACKING_URL``).
    :param server_url: the inference server's address (``NORIA_SERVER_URL``).
    :param step_mode: how Airflow runs the steps: ``local``, or ``kubernetes``; then the other addresses are those of
        services in the cluster (``NORIA_STEP_MODE``).
    :param spark_master: where the executors of models with ``engine: spark`` run (``NORIA_SPARK_MASTER``): left out,
        in the step's own process; ``kubernetes``, as pods beside the step's; or an address in Spark's words.
    :param airflow_database_url: SQLAlchemy URL of Airflow's metadata database (``NORIA_AIRFLOW_DATABASE_URL``), which
        only the exporter of metrics reads; it may hold a password, so it is never printed.
    :param server_token: bearer token with which steps call that server (``NORIA_SERVER_TOKEN``), if it asks for one.
    :param server_tokens: file of the tokens that this machine's server accepts (``NORIA_SERVER_TOKENS``): JSON
        ``{"predict": [...], "admin": [...]}``; without it the server asks for none.
    :param hashing_key: file of the key with which the request log hashes personal data (``NORIA_HASHING_KEY``); servers
        that share a store must share it. Without it each home makes its own.
    :param connections: ids of connections with the SQLAlchemy URLs of the databases that sources read
        (``NORIA_CONNECTION_<ID>``); they may hold passwords, so they are never printed.
    :param signing_key: the private key that signs versions when they are registered (``NORIA_SIGNING_KEY``): name of a
        PEM file, or the PEM itself, so it is never printed. Only the step register is given it.
    :param trusted_keys: the public keys by which versions are believed (``NORIA_TRUSTED_KEYS``): name of a PEM file
        with one or more, or the PEM itself. Without it no signature is asked for.
    """

    home: Path
    store: Path
    models: Path
    dags: Path
    expectations: Path
    database_url: str
    tracking_url: str
    server_url: str
    spark_master: str | None = None
    airflow_database_url: str | None = field(default=None, repr=False)
    server_token: str | None = field(default=None, repr=False)
    server_tokens: Path | None = None
    hashing_key: Path | None = None
    bucket: Bucket | None = None
    step_mode: str = "local"
    connections: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    signing_key: str | None = field(default=None, repr=False)
    trusted_keys: str | None = None

    @property
    def store_address(self) -> str:
        """The store as people know it: its folder or its ``s3://`` address."""
        return str(self.store) if self.bucket is None else self.bucket.url

    def connection(self, name: str) -> str:
        """The SQLAlchemy URL of a source's database.

        :raises NoConnection: if it is not known here.
        """
        url = dict(self.connections).get(name)
        if url is None:
            raise NoConnection(name)
        return url

    @property
    def store_environment(self) -> dict[str, str]:
        """The variables that lead another process to the same store."""
        return {"NORIA_STORE": str(self.store)} if self.bucket is None else self.bucket.to_environment()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the documented ``NORIA_*`` variables; everything has a default that suits the local stack.

        :raises BadStore: if the store's variables do not fit together.
        """
        env = os.environ if environment is None else environment
        home = Path(env.get("NORIA_HOME", PROJECT / ".noria")).absolute()
        bucket = Bucket.from_environment(env) if _is_address(env.get("NORIA_STORE", "")) else None
        return cls(
            home=home,
            store=Path(env.get("NORIA_STORE", home / "store")).absolute() if bucket is None else _copies(),
            bucket=bucket,
            step_mode=step_mode(env),
            models=Path(env.get("NORIA_MODELS", PROJECT / "include" / "models")).absolute(),
            dags=Path(env.get("NORIA_DAGS", PROJECT / "dags")).absolute(),
            expectations=Path(env.get("NORIA_EXPECTATIONS", PROJECT / "expectations")).absolute(),
            database_url=env.get("NORIA_DATABASE_URL", _DEFAULT_DATABASE),
            tracking_url=env.get("NORIA_TRACKING_URL", _DEFAULT_TRACKING),
            server_url=env.get("NORIA_SERVER_URL", _DEFAULT_SERVER),
            spark_master=env.get("NORIA_SPARK_MASTER") or None,
            airflow_database_url=env.get("NORIA_AIRFLOW_DATABASE_URL") or None,
            server_token=env.get("NORIA_SERVER_TOKEN") or None,
            server_tokens=Path(tokens).absolute() if (tokens := env.get("NORIA_SERVER_TOKENS")) else None,
            hashing_key=Path(key).absolute() if (key := env.get("NORIA_HASHING_KEY")) else None,
            connections=_connections(env),
            signing_key=_key(env.get(SIGNING_KEY)),
            trusted_keys=_key(env.get(TRUSTED_KEYS)),
        )


def step_mode(environment: Mapping[str, str] | None = None) -> str:
    """How Airflow runs the steps; apart from the rest, since whatever Airflow loads asks for it at its import."""
    env = os.environ if environment is None else environment
    return env.get("NORIA_STEP_MODE", "local")


def draft_from(environment: Mapping[str, str] | None = None) -> str | None:
    """Where a draft's sample is: a file, a connection's id or a database's address; the latter may hold a password."""
    env = os.environ if environment is None else environment
    return env.get(DRAFT_FROM) or None


def _connections(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    names = [name for name in env if name.startswith(CONNECTION_PREFIX)]
    return tuple(sorted((name.removeprefix(CONNECTION_PREFIX).lower(), env[name]) for name in names))


def _key(value: str | None) -> str | None:
    """A key's PEM, or the whole name of its file."""
    if not value or value.lstrip().startswith(PEM):
        return value or None
    return str(Path(value).absolute())


def _is_address(store: str) -> bool:
    """Whether the store is a bucket rather than a folder.

    :raises BadStore: if it is an address of another kind.
    """
    scheme, separator, _ = store.partition("://")
    if separator and f"{scheme}://" != _SCHEME:
        raise BadStore(f"NORIA_STORE is {store!r}, but a store is a folder or s3://bucket/prefix", "Write one of these")
    return bool(separator)


def _copies() -> Path:
    """A name that nobody else has; the folder is made when something is first copied."""
    return Path(tempfile.gettempdir()).resolve() / f"{COPY_PREFIX}{os.getpid()}-{uuid.uuid4().hex}"
