"""Connections to the registry's database: engines, transactions, the schema, and what a lost database looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from include.errors import NoriaError, TryAgain
from include.registry import migrations, tables

CONNECT_SECONDS = 5
LOCK_SECONDS = 30
STATEMENT_SECONDS = 60
_LIMITS: Final = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"
_UNDEFINED_TABLE = "42P01"
_RECYCLE_SECONDS: Final = 600
_ARGUMENTS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

_ready: set[str] = set()


class DatabaseAway(TryAgain):
    """The database cannot be reached, or was lost in the middle. Nothing of the transaction was kept."""

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(
            f"The database {place} does not answer: {problem}. Nothing was changed. "
            "Is PostgreSQL running (`make status`), and is NORIA_DATABASE_URL right?"
        )


class DatabaseUnusable(NoriaError):
    """The address is no SQLAlchemy URL, or the database's schema is from other code."""


def _url(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # The text is not repeated: it may hold a password.
        raise DatabaseUnusable(
            "NORIA_DATABASE_URL is not a database URL; write postgresql+psycopg2://user@host:5432/noria"
        ) from None
    return url.set(drivername="postgresql+psycopg2") if url.drivername in {"postgresql", "postgres"} else url


def place(database_url: str) -> str:
    """The database's name and host, for messages: never user, password or options."""
    url = _url(database_url)
    host = url.host or url.query.get("host") or "the default socket"
    return f"{url.database!r} at {host if isinstance(host, str) else ','.join(host)}"


def _scrubbed(error: SQLAlchemyError, database_url: str) -> str:
    original = error.orig if isinstance(error, DBAPIError) else None
    words = " ".join(str(original or error).split())
    url = _url(database_url)
    secrets = {str(url.password or ""), *(str(value) for key, value in url.query.items() if "pass" in key.lower())}
    for secret in secrets - {""}:
        words = words.replace(secret, "…")
    return words[:300].rstrip(". ")


def create(database_url: str, *, pooled: bool = False) -> Engine:
    """An engine that gives up on an unreachable host after :data:`CONNECT_SECONDS`.

    :param pooled: keep one connection open, for a caller that asks every second, each statement by itself; else each
        use opens its own, so that nothing is shared with a forked child.
    """
    url = _url(database_url)
    if pooled:
        return create_engine(
            url, pool_size=1, max_overflow=0, pool_timeout=CONNECT_SECONDS, isolation_level="AUTOCOMMIT",
            connect_args=_ARGUMENTS,
        )  # fmt: skip
    return create_engine(url, poolclass=NullPool, connect_args=_ARGUMENTS)


@lru_cache(maxsize=16)
def _unpooled(database_url: str) -> Engine:
    """The engine of single transactions; it holds no connection, so that it costs nothing to keep."""
    return create(database_url)


@lru_cache(maxsize=4)
def _kept(database_url: str) -> Engine:
    """The engine of a process that is asked often; connections are tried before they are used again."""
    engine = create_engine(
        _url(database_url), pool_size=4, max_overflow=12, pool_timeout=CONNECT_SECONDS, pool_pre_ping=True,
        pool_recycle=_RECYCLE_SECONDS, connect_args=_ARGUMENTS, json_deserializer=orjson.loads,
    )  # fmt: skip
    event.listen(engine, "connect", _limit_session)
    return engine


def _limit_session(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS.replace("LOCAL ", ""))
    connection.commit()


@contextmanager
def speaking(database_url: str) -> Iterator[None]:
    """Turn what a lost, unreachable or overloaded database raises into :class:`DatabaseAway`."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise DatabaseAway(place(database_url), _scrubbed(error, database_url)) from None
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == _UNDEFINED_TABLE:
            _ready.discard(database_url)
            raise DatabaseAway(place(database_url), "its tables are gone; the next call makes them again") from None
        if error.connection_invalidated:
            raise DatabaseAway(place(database_url), _scrubbed(error, database_url)) from None
        raise


@contextmanager
def transaction(database_url: str) -> Iterator[Connection]:
    """One transaction on a connection of its own; makes the schema first if this process has not seen it yet.

    :raises DatabaseAway: the database cannot be reached or was lost; the transaction did not happen, unless it was lost
        in the very moment of its commit, so callers are written to be repeated.
    """
    ensure_schema(database_url)
    with speaking(database_url), _unpooled(database_url).begin() as connection:
        _limit(connection)
        yield connection


@contextmanager
def reading(database_url: str) -> Iterator[Connection]:
    """A transaction that reads, on a connection that is kept for the next one: for a process that is asked often.

    Not for one that forks. Makes the schema first if this process has not seen it yet.

    :raises DatabaseAway: the database cannot be reached or was lost.
    """
    ensure_schema(database_url)
    with speaking(database_url), _kept(database_url).begin() as connection:
        yield connection


def lock_key(*names: str) -> int:
    """A stable 63-bit key for PostgreSQL's advisory locks."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big") >> 1


def lock_until_commit(connection: Connection, *names: str) -> None:
    """Wait for the advisory lock of these names; it is released with the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("noria", *names)})


def ensure_schema(database_url: str) -> None:
    """Make tables and triggers, or bring an older schema along; any number may race.

    Two small queries, without a lock, where there is nothing to do.

    :raises DatabaseAway: the database cannot be reached.
    :raises DatabaseUnusable: the database holds a newer schema than this code knows.
    """
    if database_url in _ready:
        return
    with speaking(database_url):
        with _unpooled(database_url).connect() as connection:
            current = migrations.revision_in(connection) == migrations.HEAD
        if not current:
            with _unpooled(database_url).begin() as connection:
                _limit(connection)
                lock_until_commit(connection, "schema")
                _bring_along(connection, database_url)
    _ready.add(database_url)


def _bring_along(connection: Connection, database_url: str) -> None:
    revision = migrations.revision_in(connection)
    if revision == migrations.HEAD:
        return
    found = revision or migrations.revision_before_alembic(connection)
    if found is not None and found > migrations.HEAD:
        raise DatabaseUnusable(
            f"The database {place(database_url)} has schema {int(found)}, this code knows {tables.SCHEMA_VERSION}. "
            "Update the code; an older version must not write to it."
        )
    migrations.upgrade(connection, found)


def _limit(connection: Connection) -> None:
    connection.execute(text(_LIMITS))
