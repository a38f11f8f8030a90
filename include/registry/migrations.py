"""Which revision a database's schema has, and what brings it to this code's: alembic's revisions in ``revisions/``.

Alembic is imported only when there is something to do; see ``ADR-schema.md``.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Text, column, func, inspect, select, table

from include.registry.tables import SCHEMA_VERSION, noria_schema

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "noria_schema_revision"
"""Alembic's table of the revision, named so that MLflow and Airflow can keep theirs in the same database."""

HEAD: Final = f"{SCHEMA_VERSION:04d}"
"""The revision that this code writes."""

_REVISION = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
# Alembic hands its revisions the database through its own module: one database at a time in a process.
_one_at_a_time = Lock()


def configuration(connection: Connection | None = None) -> Config:
    """What alembic's commands need to know of our revisions.

    :param connection: the connection to run them on, in the caller's transaction.
    """
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(Path(__file__).parent / "revisions").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def revision_in(connection: Connection) -> str | None:
    """The revision of a database's schema; None if alembic has never been there."""
    if connection.execute(select(func.to_regclass(VERSION_TABLE))).scalar_one() is None:
        return None
    return connection.execute(_REVISION).scalar_one_or_none()


def revision_before_alembic(connection: Connection) -> str | None:
    """The revision that equals the schema of a release from before alembic, by its row of ``noria_schema``.

    None: there is nothing of Noria.
    """
    if not inspect(connection).has_table(noria_schema.name):
        return None
    return f"{connection.execute(select(noria_schema.c.version)).scalar_one():04d}"


def upgrade(connection: Connection, found: str | None) -> None:
    """Run the revisions after ``found``, or all of them; the caller holds the schema's lock and commits.

    ``noria_schema`` is kept at the same number: releases from before alembic look only there, and refuse a newer one.
    """
    from alembic import command

    config = configuration(connection)
    with _one_at_a_time:
        if found is not None:
            command.stamp(config, found)
        command.upgrade(config, "head")
    connection.execute(noria_schema.update().values(version=SCHEMA_VERSION))
