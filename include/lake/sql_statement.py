"""The statements that a SQL source sends: its declared rows within a window of the event time, and nothing else.

A window is half open, ``low <= event time < high``. How its bounds are written follows from how the database keeps
the event time: on a clock (without a zone, taken for the source's local time), as instants (with one), or as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from include.errors import Refused
from include.lake.time_windows import Clock
from include.spec.definition import Source

_ALIAS: Final = "noria_source"
_OFFSET: Final = re.compile(r"\d{2}:\d{2}.*(Z|[+-]\d{2}:?\d{2})$")
_WITH_ZONE: Final = 1184  # PostgreSQL's number for timestamptz


class TimesAsText(Refused):
    """The event time is text that cannot be compared as it stands."""

    def __init__(self, name: str, example: str) -> None:
        super().__init__(
            f"The event time {name} is text such as {example[:60]!r}, which the database cannot compare with a window. "
            "Write a source.query that makes a timestamp of it."
        )


@dataclass(frozen=True)
class TimeForm:
    """How the database keeps the event time.

    :param clock: local, instant or text.
    :param example: for text: one of the values, whose form bounds take.
    """

    clock: Clock
    example: str = ""

    def bound(self, moment: datetime) -> datetime | str:
        """A window's bound as the database compares it.

        :param moment: naive on the source's clock, or for instants with an offset.
        """
        if self.clock == "instant":
            return moment.astimezone(UTC)
        if self.clock == "local":
            return moment
        if len(self.example) <= len("2013-01-31") and moment.time() == time():
            return moment.date().isoformat()
        return moment.isoformat(sep="T" if self.example[10:11] == "T" else " ")


def window_statement(source: Source, form: TimeForm, low: datetime, high: datetime) -> sa.Select[Any]:
    """The declared columns of a window's rows; the bounds are bound parameters, the filter is the database's work."""
    columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in source.columns]
    return _within(sa.select(*columns), source, form, low, high)


def any_row_statement(source: Source, form: TimeForm, low: datetime, high: datetime) -> sa.Select[Any]:
    """One value if the window has at least one row."""
    return _within(sa.select(sa.literal_column("1")), source, form, low, high).limit(1)


def time_form(connection: Connection, source: Source) -> TimeForm:
    """Ask the database how it keeps the event time.

    :raises TimesAsText: it is text with offsets, or in no ISO form.
    """
    asked: sa.Select[Any] = sa.select(sa.column(source.time_column)).select_from(_rows(source))
    if connection.dialect.name == "postgresql" and connection.dialect.driver == "psycopg2":
        cursor: Any = connection.execute(asked.limit(0)).cursor
        if cursor.description[0].type_code == _WITH_ZONE:
            return TimeForm("instant")
    value = connection.execute(asked.where(sa.column(source.time_column).is_not(None)).limit(1)).scalar()
    if isinstance(value, str):
        if not is_comparable(value):
            raise TimesAsText(source.time_column, value)
        return TimeForm("text", value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return TimeForm("instant")
    return TimeForm("local")


def is_comparable(text: str) -> bool:
    """Whether times that are kept as texts like this one can be compared with a window's bounds."""
    return _OFFSET.search(text) is None and _is_iso(text)


def _within(statement: sa.Select[Any], source: Source, form: TimeForm, low: datetime, high: datetime) -> sa.Select[Any]:
    at: sa.ColumnElement[Any] = sa.column(source.time_column)
    statement = statement.select_from(_rows(source)).where(at >= form.bound(low), at < form.bound(high))
    return statement if source.filter is None else statement.where(sa.text(f"({_literal(source.filter)})"))


def _rows(source: Source) -> sa.FromClause:
    if source.query is not None:
        return sa.text(f"({_literal(source.query)}) {_ALIAS}")  # type: ignore[return-value]
    *schema, name = (source.table or "").split(".")
    return sa.table(name, schema=".".join(schema) or None)


def _literal(sql: str) -> str:
    """SQL in which no colon begins a parameter."""
    return sql.strip().replace(":", "\\:")


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        try:
            date.fromisoformat(text)
        except ValueError:
            return False
    return True
