"""Versions are signed; those from before have no signature until somebody signs them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the signature of a version and the name of the key that made it."""
    op.add_column("model_version", sa.Column("signature", sa.Text()))
    op.add_column("model_version", sa.Column("signer", sa.Text()))
