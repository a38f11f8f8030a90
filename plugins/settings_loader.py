"""Loads ``airflow_settings.yaml`` (Astro's format) into Airflow's metadata database, without Astro's CLI.

``python -m plugins.settings_loader [--migrate] airflow_settings.yaml``: creates or updates connections, pools and
variables, in one process and one transaction; running it again changes nothing. It touches only what the file names.
With ``--migrate`` the database's schema is brought up to date first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.errors import NoriaError, Refused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConnectionEntry(_Entry):
    """One connection; an empty value means none."""

    conn_id: str = Field(min_length=1)
    conn_type: str = Field(min_length=1)
    conn_host: str | None = None
    conn_schema: str | None = None
    conn_login: str | None = None
    conn_password: str | None = None
    conn_port: int | None = None
    conn_extra: dict[str, object] | str | None = None


class PoolEntry(_Entry):
    """One pool."""

    pool_name: str = Field(min_length=1)
    pool_slot: int = Field(ge=-1)
    pool_description: str = ""


class VariableEntry(_Entry):
    """One variable."""

    variable_name: str = Field(min_length=1)
    variable_value: str


class AirflowSettings(_Entry):
    """What the file holds below ``airflow:``."""

    connections: tuple[ConnectionEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    variables: tuple[VariableEntry, ...] = ()


def read_settings(path: Path) -> AirflowSettings:
    """Read and check the file. Entries whose name is empty (as in Astro's template) are left out.

    :raises Refused: if the file cannot be read or says something that is not known.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise Refused(f"{path} is not YAML: {error}") from error
    content = document.get("airflow") if isinstance(document, dict) else None
    if not isinstance(content, dict):
        raise Refused(f"{path} has no section `airflow:` with connections, pools and variables.")
    named = {
        section: [entry for entry in entries or [] if _is_filled_in(entry)] for section, entries in content.items()
    }
    try:
        return AirflowSettings.model_validate(named)
    except ValidationError as error:
        problems = [f"airflow.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise Refused(f"{path} is wrong:\n" + "\n".join(problems)) from None


def _is_filled_in(entry: object) -> bool:
    return not isinstance(entry, dict) or any(value not in (None, "") for value in entry.values())


def load_settings(settings: AirflowSettings, session: Session) -> None:
    """Create or update what the settings name, in the session's transaction."""
    for connection in settings.connections:
        _store_connection(connection, session)
    for pool in settings.pools:
        _store_pool(pool, session)
    for variable in settings.variables:
        _store_variable(variable, session)


def _store_connection(entry: ConnectionEntry, session: Session) -> None:
    import json

    from airflow.models.connection import Connection
    from sqlalchemy import select

    found = session.scalar(select(Connection).where(Connection.conn_id == entry.conn_id))
    connection = found or Connection(conn_id=entry.conn_id)
    extra = json.dumps(entry.conn_extra) if isinstance(entry.conn_extra, dict) else entry.conn_extra
    connection.conn_type = entry.conn_type
    connection.host = entry.conn_host
    connection.schema = entry.conn_schema
    connection.login = entry.conn_login
    connection.port = entry.conn_port
    connection.set_password(entry.conn_password)
    connection.set_extra(extra or "")
    session.add(connection)


def _store_pool(entry: PoolEntry, session: Session) -> None:
    from airflow.models.pool import Pool
    from sqlalchemy import select

    pool = session.scalar(select(Pool).where(Pool.pool == entry.pool_name))
    if pool is None:
        pool = Pool(pool=entry.pool_name)
    # A deferred step has left its worker, but its pod still works: the pool bounds the work, wherever it is done.
    pool.include_deferred = True
    pool.slots = entry.pool_slot
    pool.description = entry.pool_description
    session.add(pool)


def _store_variable(entry: VariableEntry, session: Session) -> None:
    from airflow.models.variable import Variable
    from sqlalchemy import select

    variable = session.scalar(select(Variable).where(Variable.key == entry.variable_name))
    if variable is None:
        session.add(Variable(key=entry.variable_name, val=entry.variable_value))  # type: ignore[no-untyped-call]
    elif variable.val != entry.variable_value:
        variable.set_val(entry.variable_value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m plugins.settings_loader", description=__doc__)
    parser.add_argument("file", type=Path, help="airflow_settings.yaml")
    parser.add_argument("--migrate", action="store_true", help="bring the database's schema up to date first")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(options.file)
    except NoriaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    _load(settings, migrate=options.migrate)
    print(
        f"{len(settings.connections)} connections, {len(settings.pools)} pools and {len(settings.variables)} variables "
        f"of {options.file} are in Airflow."
    )
    return 0


def _load(settings: AirflowSettings, *, migrate: bool) -> None:
    from airflow.utils.session import create_session

    if migrate:
        from airflow.utils.db import upgradedb

        upgradedb()
    with create_session() as session:
        load_settings(settings, session)


if __name__ == "__main__":
    sys.exit(main())
