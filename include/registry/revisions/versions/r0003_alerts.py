"""Alerts, and their delivery through each channel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the outbox of alerts."""
    op.create_table(
        "alert",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False, unique=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("run", sa.Text()),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("alert_run", "alert", ["model", "run"])
    op.create_table(
        "alert_delivery",
        sa.Column("alert_id", sa.BigInteger(), sa.ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("channel", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'waiting'")),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("attempted_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'expired')", name="alert_delivery_state"),
    )
    op.create_index(
        "alert_delivery_waiting", "alert_delivery", ["next_at"], postgresql_where=sa.text("state = 'waiting'")
    )
