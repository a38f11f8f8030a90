"""What can go wrong while a database is read, said once, without its address: passing faults, and those that stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)

from include.errors import Refused, TryAgain

_LONGEST: Final = 400
PASSWORD_OPTION: Final = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
"""Names of an address's options that hold secrets."""
# Drivers raise one and the same error for a database that is away and for a login that will never be right.
_LOGIN: Final = re.compile(
    r"password authentication failed|no password supplied|access denied|login failed|authentication failed|"
    r'role "[^"]*" does not exist|database "[^"]*" does not exist|unknown database|no pg_hba\.conf entry',
    re.IGNORECASE,
)
_QUERY: Final = re.compile(
    r"no such (table|column|function)|syntax error|ambiguous column|misuse of|read-?only", re.IGNORECASE
)


class SourceAway(TryAgain):
    """The database of a source cannot be reached, or was lost while it was read; what was read whole is kept."""

    def __init__(self, connection: str, words: str) -> None:
        self.connection = connection
        super().__init__(
            f"The database of the connection {connection} does not answer: {words}. It will be tried again; what was "
            "read whole is kept. Is the database up, and is the connection's address right?"
        )


class SourceBroken(Refused):
    """The database refuses a source's login or its query: trying again cannot help."""

    def __init__(self, connection: str, words: str, cure: str) -> None:
        self.connection = connection
        super().__init__(f"The database of the connection {connection} refuses: {words}. {cure}")


@contextmanager
def asking(connection: str, url: str) -> Iterator[None]:
    """Turn what a database and its driver raise into one of this module's errors.

    :raises SourceAway: it may go well another time.
    :raises SourceBroken: it will not.
    """
    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        raise _error(connection, url, error) from None


def _error(connection: str, url: str, error: Exception) -> SourceAway | SourceBroken:
    if isinstance(error, ArgumentError) and not isinstance(error, NoSuchModuleError):
        what = "its address is no SQLAlchemy URL"  # not repeated: it may hold a password
        return SourceBroken(connection, what, "Correct the connection, such as type postgres with host and schema.")
    words = _words(url, error)
    if isinstance(error, NoSuchModuleError | ImportError):
        return SourceBroken(connection, f"there is no driver for it ({words})", "Install the driver where steps run.")
    if _LOGIN.search(words):
        return SourceBroken(connection, words, "Correct login, password and database name in the connection.")
    permanent = isinstance(error, ProgrammingError | DataError | NotSupportedError | IntegrityError)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        permanent = False
    if permanent or _QUERY.search(words):
        return SourceBroken(connection, words, "Correct source.table, query, filter or columns in the definition.")
    return SourceAway(connection, words)


def _words(url: str, error: Exception) -> str:
    """The driver's own words on one line, without what the address keeps secret."""
    original = error.orig if isinstance(error, DBAPIError) else None
    words = " ".join(str(original or error).split())
    for secret in sorted(secrets_in(url), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words[:_LONGEST].rstrip(". ")


def secrets_in(url: str) -> set[str]:
    """The address itself, its password and such options, as written and decoded."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        return {url} - {""}
    options = [value for name, value in parsed.query.items() if PASSWORD_OPTION.search(name)]
    found = {
        url,
        str(parsed.password or ""),
        *(text for one in options for text in ([one] if isinstance(one, str) else one)),
    }
    return {form for word in found for form in (word, unquote(word))} - {""}
