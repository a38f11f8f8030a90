"""PostgreSQL's own figures, of all databases of the server that holds Noria's."""

from __future__ import annotations

from typing import Final

from prometheus_client import Metric

from include.exporter.reading import counter, gauge, reading, rows

_DATABASES: Final = """
    SELECT d.datname, s.numbackends, s.xact_commit, s.xact_rollback, s.deadlocks, s.temp_bytes, s.blks_hit, s.blks_read,
           CASE WHEN has_database_privilege(d.datname, 'CONNECT') THEN pg_database_size(d.datname) END AS bytes
    FROM pg_database AS d JOIN pg_stat_database AS s ON s.datid = d.oid
    WHERE NOT d.datistemplate ORDER BY d.datname LIMIT 50
"""
_SERVER: Final = """
    SELECT current_setting('max_connections')::integer
               - current_setting('superuser_reserved_connections')::integer AS most,
           count(*) AS connections, extract(epoch FROM clock_timestamp() - min(xact_start)) AS oldest
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


def read_postgres(database_url: str) -> list[Metric]:
    """Connections, transactions, sizes."""
    with reading(database_url) as connection:
        databases = {(row.datname,): row for row in rows(connection, _DATABASES)}
        (server,) = rows(connection, _SERVER)
    by = ("database",)
    outcomes: dict[tuple[str, ...], float] = {
        (name, outcome): getattr(row, f"xact_{outcome}")
        for (name,), row in databases.items()
        for outcome in ("commit", "rollback")
    }
    blocks: dict[tuple[str, ...], float] = {
        (name, found): getattr(row, column)
        for (name,), row in databases.items()
        for found, column in (("memory", "blks_hit"), ("disk", "blks_read"))
    }
    return [
        gauge("noria_postgres_connections", "Connections of clients.", (), {(): server.connections}),
        gauge("noria_postgres_connections_limit", "Connections that clients may have.", (), {(): server.most}),
        gauge(
            "noria_postgres_oldest_transaction_seconds",
            "Age of the oldest transaction under way.",
            (),
            {(): server.oldest},
        ),
        gauge(
            "noria_postgres_database_connections",
            "Connections to a database.",
            by,
            {name: row.numbackends for name, row in databases.items()},
        ),
        gauge(
            "noria_postgres_database_bytes",
            "Size of a database on disk.",
            by,
            {name: row.bytes for name, row in databases.items()},
        ),
        counter("noria_postgres_transactions", "Transactions, by outcome.", ("database", "outcome"), outcomes),
        counter("noria_postgres_blocks_read", "Blocks read, by where they were found.", ("database", "found"), blocks),
        counter("noria_postgres_deadlocks", "Deadlocks.", by, {name: row.deadlocks for name, row in databases.items()}),
        counter(
            "noria_postgres_temporary_bytes",
            "Bytes that queries wrote to disk for want of memory.",
            by,
            {name: row.temp_bytes for name, row in databases.items()},
        ),
    ]
