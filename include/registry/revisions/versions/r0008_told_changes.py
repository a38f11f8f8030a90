"""What servers follow is told when it changes, so that they need not ask for it all the time."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add triggers: each change of the state raises a revision in ``deployment``; versions are signed and barred."""
    op.execute(
        """
        CREATE FUNCTION noria_tell_state() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('noria_state', TG_TABLE_NAME);
            RETURN NULL;
        END $$
        """
    )
    for table, events, each in (
        ("deployment", "INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
        ("model_version", "UPDATE", "ROW"),  # a statement that finds no row tells nothing
    ):
        op.execute(
            f"CREATE TRIGGER {table}_told AFTER {events} ON {table} FOR EACH {each} EXECUTE FUNCTION noria_tell_state()"
        )
