"""Sessions with a source's database: they only read, end with their block, and fail without its address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import NullPool

from include.lake.sql_faults import asking

_CONNECT_SECONDS: Final = 10


@contextmanager
def open_engine(name: str, url: str) -> Iterator[Engine]:
    """An engine whose every session is one of its own, and reads only.

    :param name: of the connection, for messages.
    :param url: SQLAlchemy URL; may hold a password, so no message repeats it.
    :raises SourceBroken: if it is no address, or there is no driver for it.
    """
    with asking(name, url):
        address = make_url(url)
        if address.drivername in {"postgresql", "postgres"}:
            address = address.set(drivername="postgresql+psycopg2")
        options: dict[str, Any] = {}
        if address.drivername == "postgresql+psycopg2":
            options = {"connect_timeout": _CONNECT_SECONDS, "keepalives_idle": 30, "application_name": "noria"}
        engine = sa.create_engine(address, poolclass=NullPool, connect_args=options, hide_parameters=True)
        sa.event.listen(engine, "connect", _settle)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_session(name: str, url: str) -> Iterator[Connection]:
    """One session.

    :raises SourceAway: if the database does not answer.
    :raises SourceBroken: if it refuses login or query.
    """
    with open_engine(name, url) as engine, asking(name, url), engine.connect() as connection:
        yield connection


def csv_value(value: Any) -> Any:
    """A driver's value as DuckDB reads it from CSV: nothing for null, all digits of a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return format(value, "f") if isinstance(value, Decimal) else value


def _settle(driver_connection: Any, _record: Any) -> None:
    """A source only reads, and PostgreSQL writes times in one form."""
    kind = type(driver_connection).__module__
    if kind.startswith("psycopg2"):
        with driver_connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'; SET datestyle = 'ISO, YMD'; SET default_transaction_read_only = on")
        driver_connection.commit()
    elif kind.startswith("sqlite3"):
        driver_connection.execute("PRAGMA query_only = ON")
