"""PostgreSQL advisory locks: one writer at a time, whatever process it lives in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from include.errors import TryAgain

_LONGEST_WAIT_SECONDS = 600


class LockUnavailable(TryAgain):
    """The lock could not be taken or was lost: the database is away, or another writer holds it for too long."""

    def __init__(self, names: tuple[str, ...], cause: str) -> None:
        self.names = names
        super().__init__(
            f"The lock {'/'.join(names)} is not held: {cause}. Nothing was changed; this step can be run again."
        )


@dataclass(frozen=True)
class HeldLock:
    """A lock that is held by a database connection, and only as long as this lives."""

    names: tuple[str, ...]
    connection: Connection

    def check(self) -> None:
        """Make sure that the connection, and so the lock, is still there.

        :raises LockUnavailable: if it is lost.
        """
        try:
            self.connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise LockUnavailable(self.names, f"its database connection broke ({_reason(error)})") from error


@contextmanager
def advisory_lock(database_url: str, *names: str, wait_seconds: float = _LONGEST_WAIT_SECONDS) -> Iterator[HeldLock]:
    """Hold PostgreSQL's session-level advisory lock of these names; waits for another holder.

    :raises LockUnavailable: if the database cannot be reached, or another holder keeps it longer than the wait.
    """
    number = int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big", signed=True)
    engine = create_engine(database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        connection = _locked(engine, number, names, wait_seconds)
        try:
            yield HeldLock(names, connection)
        finally:
            connection.invalidate()  # the session's end frees the lock, even if the connection is broken
            connection.close()
    finally:
        engine.dispose()


def _locked(engine: Engine, number: int, names: tuple[str, ...], wait_seconds: float) -> Connection:
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise LockUnavailable(names, f"the database cannot be reached ({_reason(error)})") from error
    try:
        connection.execute(text(f"SET lock_timeout = {int(wait_seconds * 1000)}"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": number})
    except DBAPIError as error:
        connection.close()
        raise LockUnavailable(names, f"waited {wait_seconds:.0f} s for it ({_reason(error)})") from error
    return connection


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
