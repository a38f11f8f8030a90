"""Erasures, and the versions that can no longer be made again since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the record of erasures."""
    op.create_table(
        "erasure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key_columns", JSONB(), nullable=False),
        sa.Column("key_hmac", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("document", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
    )
    op.create_index(
        "erasure_open", "erasure", ["model", "key_hmac"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "version_erasure",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("erasure_id", sa.BigInteger(), sa.ForeignKey("erasure.id"), primary_key=True),
        sa.ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.version"]),
    )
