"""What turns a database of an older schema into one of this code's, one version after the other.

A step is what was needed then, as plain SQL: it is never changed when the tables change again. Each runs in the
transaction that raises the version, under the schema's lock, and can be repeated without harm.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from include.registry.tables import SCHEMA_VERSION, noria_schema

STEPS: Final[dict[int, tuple[str, ...]]] = {
    2: (
        "ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS plan JSONB",
        "ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS until TIMESTAMP WITH TIME ZONE",
        "ALTER TABLE deployment_state ADD COLUMN IF NOT EXISTS deployment TEXT",
        """
        CREATE UNIQUE INDEX IF NOT EXISTS deployment_state_one_challenger ON deployment_state (model)
        WHERE role IN ('candidate', 'shadow', 'canary', 'ab')
        """,
        "ALTER TABLE deployment_ledger ADD COLUMN IF NOT EXISTS shares JSONB NOT NULL DEFAULT '{}'::jsonb",
        """
        CREATE TABLE IF NOT EXISTS assessment (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            deployment TEXT NOT NULL,
            stage TEXT NOT NULL,
            at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
            verdict TEXT NOT NULL,
            reason TEXT NOT NULL,
            evidence JSONB NOT NULL,
            CONSTRAINT assessment_verdict CHECK (verdict IN ('wait', 'advance', 'rollback'))
        )
        """,
        "CREATE INDEX IF NOT EXISTS assessment_newest ON assessment (model, deployment, stage, id)",
    ),
    3: (
        """
        CREATE TABLE IF NOT EXISTS alert (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            model TEXT NOT NULL,
            event TEXT NOT NULL,
            run TEXT,
            document JSONB NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL
        )
        """,
        "CREATE INDEX IF NOT EXISTS alert_run ON alert (model, run)",
        """
        CREATE TABLE IF NOT EXISTS alert_delivery (
            alert_id BIGINT NOT NULL REFERENCES alert (id) ON DELETE CASCADE,
            channel TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting',
            attempts INTEGER NOT NULL DEFAULT 0,
            next_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
            leased_until TIMESTAMP WITH TIME ZONE,
            attempted_at TIMESTAMP WITH TIME ZONE,
            error TEXT,
            PRIMARY KEY (alert_id, channel),
            CONSTRAINT alert_delivery_state CHECK (state IN ('waiting', 'sent', 'expired'))
        )
        """,
        "CREATE INDEX IF NOT EXISTS alert_delivery_waiting ON alert_delivery (next_at) WHERE state = 'waiting'",
    ),
}
"""By the version that a step leads to."""


def migrate(connection: Connection, found: int) -> None:
    """Bring a database from the version ``found`` to this code's; does nothing if it is there already.

    The caller holds the schema's lock and commits.
    """
    for version in range(found + 1, SCHEMA_VERSION + 1):
        for statement in STEPS[version]:
            connection.execute(text(statement))
        connection.execute(noria_schema.update().values(version=version))
