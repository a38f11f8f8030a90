"""Retirements: how far each has come, until when it can be undone, and which versions lost their artifacts by it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table of retirements; a model that was retired before has no row and can be brought back as ever."""
    op.create_table(
        "retirement",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quiet_seconds", sa.Float(), nullable=False),
        sa.Column("keep_seconds", sa.Float(), nullable=False),
        sa.Column("sightings", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("restorable_until", sa.DateTime(timezone=True)),
        sa.Column("archive", sa.Text()),
        sa.Column("archive_digest", sa.Text()),
        sa.Column("freeing_at", sa.DateTime(timezone=True)),
        sa.Column("freed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["model"], ["deployment.model"]),
    )
    op.add_column("model_version", sa.Column("freed_at", sa.DateTime(timezone=True)))
