"""Stages of a deployment: a challenger's plan, the shares of all roles in the ledger, and what was judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what shadow, canary and A/B stages keep."""
    op.add_column("deployment_state", sa.Column("plan", JSONB()))
    op.add_column("deployment_state", sa.Column("until", sa.DateTime(timezone=True)))
    op.add_column("deployment_state", sa.Column("deployment", sa.Text()))
    op.create_index(
        "deployment_state_one_challenger",
        "deployment_state",
        ["model"],
        unique=True,
        postgresql_where=sa.text("role IN ('candidate', 'shadow', 'canary', 'ab')"),
    )
    op.add_column(
        "deployment_ledger", sa.Column("shares", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb"))
    )
    op.create_table(
        "assessment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", JSONB(), nullable=False),
        sa.CheckConstraint("verdict IN ('wait', 'advance', 'rollback')", name="assessment_verdict"),
    )
    op.create_index("assessment_newest", "assessment", ["model", "deployment", "stage", "id"])
