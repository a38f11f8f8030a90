"""Where a sample is from: a file, or a table of a database whose address stays with whoever runs the draft."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from include.errors import Refused
from include.lake.sql_faults import PASSWORD_OPTION
from include.settings import NoConnection, Settings, connection_variable
from include.spec.definition import CONNECTION_PATTERN

_PLACEHOLDER: Final = "PASSWORD"
_TYPES: Final = {"postgresql": "postgres"}
"""What Airflow calls the databases that it names otherwise."""
_USUAL: Final = {"postgresql": "psycopg2", "mysql": "pymysql", "mssql": "pymssql"}
"""The drivers that steps take if a connection names none."""


class NothingThere(Refused):
    """What a sample is to be drawn from is neither a file nor a connection."""

    def __init__(self, given: str) -> None:
        self.given = given
        super().__init__(
            f"There is no file {given!r}, and no address of a database in {connection_variable(given)}. Give FROM the "
            "path of a Parquet or CSV file, or the id of a connection, and in that variable its SQLAlchemy URL."
        )


class AddressRefused(Refused):
    """The address of a database cannot be used as it is given; the message does not repeat it."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database, and the Airflow connection through which the model is to read it.

    :param connection: its id.
    :param url: its SQLAlchemy URL, with the password.
    :param table: the table or view that was asked for.
    :param is_known: whether it was named by its id.
    """

    connection: str
    url: str = field(repr=False)
    table: str | None = None
    is_known: bool = False

    def to_add(self) -> list[str]:
        """Commands that make the connection known, with a placeholder in the place of each secret."""
        url = _without_secrets(make_url(self.url))
        variable = f"export {connection_variable(self.connection)}={shlex.quote(_text(url))}"
        return [f"make airflow ARGS={_in_quotes(shlex.join(_airflow_words(self.connection, url)))}", variable]


@dataclass(frozen=True)
class FileOrigin:
    """A file, which is the whole sample."""

    path: Path

    @property
    def shown(self) -> str:
        """How people know it."""
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class TableOrigin:
    """A table or view, of which the sample is a part.

    :param rows: of all of it, if it is not very large about as many.
    :param key: columns of its primary key; none if it has none.
    """

    database: Database
    table: str
    rows: int
    key: tuple[str, ...]

    @property
    def shown(self) -> str:
        """How people know it."""
        return f"{self.table} of the connection {self.database.connection}"


def find_origin(settings: Settings, given: str, table: str | None, *, on_command_line: bool) -> Path | Database:
    """What ``FROM`` names.

    :param given: a path, the SQLAlchemy URL of a database, or the id of a connection in ``NORIA_CONNECTION_<ID>``.
    :param on_command_line: whether it is an argument of this process, which everybody on the machine can read.
    :raises NothingThere: if it is none of them.
    :raises AddressRefused: if it is a broken URL, or one whose password everybody could read.
    """
    if "://" in given:
        url = _parsed(given)
        if on_command_line and (url.password or any(PASSWORD_OPTION.search(name) for name in url.query)):
            raise AddressRefused(
                "The address holds a password, and everybody on this machine can read a command's arguments. Put it "
                "into the environment: FROM='…' make new-model …, or NORIA_DRAFT_FROM for this command."
            )
        return Database(connection=_connection_id(url), url=given, table=table)
    if Path(given).exists() or not re.fullmatch(CONNECTION_PATTERN, given):
        return Path(given)
    try:
        return Database(connection=given, url=settings.connection(given), table=table, is_known=True)
    except NoConnection as error:
        raise NothingThere(given) from error


def _parsed(given: str) -> URL:
    try:
        return make_url(given)
    except (ArgumentError, ValueError):
        cure = "Write it like postgresql://user:password@host/database or sqlite:////folder/file.db"
        raise AddressRefused(f"The address in FROM is no SQLAlchemy URL. {cure}.") from None


def _connection_id(url: URL) -> str:
    """An id for the connection, from the database's name."""
    plain = re.sub(r"[^a-z0-9]+", "_", Path(url.database or "").stem.lower()).strip("_")[:50]
    return plain if re.fullmatch(CONNECTION_PATTERN, plain) else f"db_{plain}".rstrip("_")


def _without_secrets(url: URL) -> URL:
    query = {name: _PLACEHOLDER if PASSWORD_OPTION.search(name) else value for name, value in url.query.items()}
    return url.set(password=_PLACEHOLDER if url.password else None, query=query)


def _airflow_words(connection: str, url: URL) -> list[str]:
    backend, _, driver = url.drivername.partition("+")
    extra: dict[str, object] = dict(url.query)
    if driver and driver != _USUAL.get(backend):
        extra["drivername"] = url.drivername
    parts = {"type": _TYPES.get(backend, backend), "host": url.host, "port": url.port, "schema": url.database}
    parts |= {"login": url.username, "password": url.password, "extra": json.dumps(extra) if extra else None}
    flags = [word for name, value in parts.items() if value for word in (f"--conn-{name}", str(value))]
    return ["connections", "add", connection, *flags]


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _in_quotes(words: str) -> str:
    """As one word for the shell in which ``make`` starts the command: a dollar means something to both."""
    escaped = re.sub(r'(["\\`])', r"\\\1", words).replace("$", r"\$\$")
    return f'"{escaped}"'
