"""Who else is connected to a test's database."""

from __future__ import annotations

from sqlalchemy import text

from include.registry.database import transaction

_OTHERS = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def connections(database_url: str) -> list[int]:
    """Those of PostgreSQL's processes that others hold connections to.

    One that was just given up is among them until its process is gone: whoever counts, waits for the number.
    """
    with transaction(database_url) as connection:
        return list(connection.execute(text(_OTHERS)).scalars())
