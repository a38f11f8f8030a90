"""The registry's tables, as SQLAlchemy Core: versions, what is in production, and everything that ever changed it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA_VERSION = 8
"""Number of the newest revision in ``revisions/``, which makes what is described here; a change here is a new one."""

metadata = MetaData()
_NOW = func.clock_timestamp()

noria_schema = Table(
    "noria_schema",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    CheckConstraint("one", name="noria_schema_one_row"),
)

model_version = Table(
    "model_version",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("artifact_digest", Text, nullable=False),
    Column("model_uri", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("windows", JSONB, nullable=False),
    Column("decision", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("signature", Text),
    Column("signer", Text),
    Column("freed_at", DateTime(timezone=True)),
    UniqueConstraint("model", "fingerprint", name="model_version_fingerprint"),
    CheckConstraint("status IN ('registered', 'barred', 'retired')", name="model_version_status"),
)

"""``signature`` is over everything but status and times (:mod:`include.registry.signing`), by the key ``signer``.
``freed_at``: since when its artifact is gone, after its model was retired."""

deployment = Table(
    "deployment",
    metadata,
    Column("model", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("retired_at", DateTime(timezone=True)),
)
"""One row for each model: the row that a change locks, and the revision that it raises."""

retirement = Table(
    "retirement",
    metadata,
    Column("model", Text, primary_key=True),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("quiet_seconds", Float, nullable=False),
    Column("keep_seconds", Float, nullable=False),
    Column("sightings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("restorable_until", DateTime(timezone=True)),
    Column("archive", Text),
    Column("archive_digest", Text),
    Column("freeing_at", DateTime(timezone=True)),
    Column("freed_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["model"], ["deployment.model"]),
)
"""One row for each model that is on its way out of production or out of it (:mod:`include.registry.retirement_state`);
the row goes when the model is brought back, or has another champion."""

deployment_state = Table(
    "deployment_state",
    metadata,
    Column("model", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("plan", JSONB),
    Column("until", DateTime(timezone=True)),
    Column("deployment", Text),
    ForeignKeyConstraint(["model"], ["deployment.model"]),
    ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.version"]),
    CheckConstraint("share >= 0 AND share <= 1", name="deployment_state_share"),
    Index(
        "deployment_state_one_challenger",
        "model",
        unique=True,
        postgresql_where=text("role IN ('candidate', 'shadow', 'canary', 'ab')"),
    ),
)
"""One row for each role of a model. ``plan``, ``until`` and ``deployment`` belong to a challenger's stage."""

deployment_ledger = Table(
    "deployment_ledger",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("action", Text, nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("shares", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    UniqueConstraint("model", "revision", name="deployment_ledger_revision"),
    Index("deployment_ledger_at", "model", "at"),
)
"""Append-only. ``state`` maps each role to the version that holds it after the action, ``shares`` to its share. Rows of
schema 1 have no shares: there the champion answered everything."""

assessment = Table(
    "assessment",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    CheckConstraint("verdict IN ('wait', 'advance', 'rollback')", name="assessment_verdict"),
    Index("assessment_newest", "model", "deployment", "stage", "id"),
)
"""What was judged of a challenger in a stage of its deployment, and when."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("delivered_at", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Index("outbox_open", "model", postgresql_where=text("delivered_at IS NULL")),
)

check_result = Table(
    "check_result",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("subject", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("page", Text),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("check_result_model", "model", "kind", "stage", "at"),
)

alert = Table(
    "alert",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("run", Text),
    Column("document", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("alert_run", "model", "run"),
)
"""What people are told, once for each ``key``. ``run`` is the Airflow run that it is about, if it is about one."""

alert_delivery = Table(
    "alert_delivery",
    metadata,
    Column("alert_id", BigInteger, ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("leased_until", DateTime(timezone=True)),
    Column("attempted_at", DateTime(timezone=True)),
    Column("error", Text),
    CheckConstraint("state IN ('waiting', 'sent', 'expired')", name="alert_delivery_state"),
    Index("alert_delivery_waiting", "next_at", postgresql_where=text("state = 'waiting'")),
)
"""The outbox of alerts: one row for each alert and channel (the id of an Airflow connection). ``leased_until``: nobody
else sends it before that."""

erasure = Table(
    "erasure",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("key_columns", JSONB, nullable=False),
    Column("key_hmac", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("finished_at", DateTime(timezone=True)),
    Column("document", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Index("erasure_open", "model", "key_hmac", unique=True, postgresql_where=text("finished_at IS NULL")),
)
"""What was erased, without the key: its HMAC, with the installation's hashing key. ``document``: counts, and digests of
partitions before and after. A row without an end is an erasure that was killed; the same command goes on with it."""

version_erasure = Table(
    "version_erasure",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("erasure_id", BigInteger, ForeignKey("erasure.id"), primary_key=True),
    ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.version"]),
)
"""Versions that were trained on rows that an erasure took away: they cannot be made again."""

step_cost = Table(
    "step_cost",
    metadata,
    Column("model", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
)
"""Processor time of a model's steps, children included, added up by day (UTC)."""
