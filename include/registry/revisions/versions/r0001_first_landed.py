"""Versions, deployment state, ledger, outbox and check results: the schema of the first landed version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_APPEND_ONLY = (
    """
    CREATE OR REPLACE FUNCTION noria_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the table deployment_ledger is append-only: % is refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER deployment_ledger_rows BEFORE UPDATE OR DELETE ON deployment_ledger
    FOR EACH ROW EXECUTE FUNCTION noria_ledger_is_append_only()
    """,
    """
    CREATE TRIGGER deployment_ledger_whole BEFORE TRUNCATE ON deployment_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION noria_ledger_is_append_only()
    """,
)
"""Statements that make the ledger append-only, for the table's owner too."""


def upgrade() -> None:
    """Make the first tables."""
    _make_versions()
    _make_deployments()
    _make_results()
    for statement in _APPEND_ONLY:
        op.execute(statement)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp())


def _make_versions() -> None:
    op.create_table(
        "noria_schema",
        sa.Column("one", sa.Boolean(), primary_key=True, server_default=sa.text("true")),
        sa.Column("version", sa.Integer(), nullable=False),
        _moment("created_at"),
        sa.CheckConstraint("one", name="noria_schema_one_row"),
    )
    op.execute("INSERT INTO noria_schema (version) VALUES (1)")
    op.create_table(
        "model_version",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("artifact_digest", sa.Text(), nullable=False),
        sa.Column("model_uri", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("windows", JSONB(), nullable=False),
        sa.Column("decision", JSONB(), nullable=False),
        _moment("created_at"),
        sa.UniqueConstraint("model", "fingerprint", name="model_version_fingerprint"),
        sa.CheckConstraint("status IN ('registered', 'barred', 'retired')", name="model_version_status"),
    )


def _make_deployments() -> None:
    op.create_table(
        "deployment",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "deployment_state",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["deployment.model"]),
        sa.ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.version"]),
        sa.CheckConstraint("share >= 0 AND share <= 1", name="deployment_state_share"),
    )
    op.create_table(
        "deployment_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_version", sa.Integer()),
        sa.Column("to_version", sa.Integer()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", JSONB(), nullable=False),
        sa.Column("state", JSONB(), nullable=False),
        sa.UniqueConstraint("model", "revision", name="deployment_ledger_revision"),
    )
    op.create_index("deployment_ledger_at", "deployment_ledger", ["model", "at"])


def _make_results() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("error", sa.Text()),
    )
    op.create_index("outbox_open", "outbox", ["model"], postgresql_where=sa.text("delivered_at IS NULL"))
    op.create_table(
        "check_result",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("details", JSONB(), nullable=False),
        sa.Column("page", sa.Text()),
        _moment("at"),
    )
    op.create_index("check_result_model", "check_result", ["model", "kind", "stage", "at"])
