"""Every change of the deployment state is told on a channel, so that servers need not ask for it all the time."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the trigger; each change raises a row's revision in ``deployment``, whoever makes it."""
    op.execute(
        """
        CREATE FUNCTION noria_tell_state() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('noria_state', '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER deployment_told AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON deployment
        FOR EACH STATEMENT EXECUTE FUNCTION noria_tell_state()
        """
    )
