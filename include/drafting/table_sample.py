"""Draws a sample from a table or view of a database: few enough rows for memory, by the same rule each time.

A small table is read whole. Of a larger one PostgreSQL draws rows itself, with a seed; of views, and in other
databases, rows are chosen by a hash of their place. So the same rows come again as long as the database keeps its rows
in the same order. The session only reads.
"""

from __future__ import annotations

import csv
import difflib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.engine.reflection import Inspector

from include.drafting.origin import Database, TableOrigin
from include.drafting.sample import MOST_ROWS, Sample, SampleUnusable, read_rows
from include.errors import Refused
from include.lake.sql_session import csv_value, open_session
from include.lake.sql_statement import is_comparable
from include.settings import Settings
from include.spec.check_source import SQL_TABLE
from include.spec.definition import ColumnType

SEED: Final = 7
MOST_BYTES: Final = 512 << 20
HUGE: Final = 50_000_000
"""Rows from which on a table is not looked at as a whole: PostgreSQL estimates how many it has, and draws blocks."""
_ROWS_AT_ONCE: Final = 1_000
_NAMED: Final = 40
_FILLED: Final = 0.9  # of the bound: what lies at the table's end must not be cut off by it
_PLACES: Final = 2**31 - 1
_STRIDE: Final = 1_327_217_884  # the golden section of the places: multiples of it spread evenly, however few they are
_SYSTEM_SCHEMAS: Final = ("information_schema", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys")
_UNREADABLE: Final = (sa.LargeBinary, sa.JSON, sa.ARRAY, sa.Interval, sa.Time)
_KINDS: Final[dict[type, tuple[ColumnType, ...]]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    Decimal: ("number",),
    datetime: ("timestamp",),
    date: ("timestamp",),
    str: ("string",),
}


class TableUnknown(Refused):
    """A sample's table is not named, or not there; carries the tables and views that are."""

    def __init__(self, connection: str, wanted: str | None, there: Sequence[str]) -> None:
        self.there = tuple(there)
        listed = ", ".join([*there[:_NAMED], *(["…"] if len(there) > _NAMED else [])]) or "none that this login may see"
        close = difflib.get_close_matches(wanted or "", there, 1, 0.6)
        what = f"there is no table {wanted!r}" if wanted else "no table is named"
        near = f" Did you mean {close[0]}?" if close else ""
        cure = f"Write TABLE={(close or list(there) or ['sales.orders'])[0]}"
        super().__init__(
            f"Connection {connection}: {what}.{near} {cure}, or another of its tables and views: {listed}."
        )


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table or view as the database describes it; ``columns`` are those that a definition may have."""

    name: str
    schema: str | None
    columns: tuple[str, ...]
    booleans: frozenset[str]
    key: tuple[str, ...]
    is_stored: bool

    @property
    def clause(self) -> sa.TableClause:
        return sa.table(self.name, *(sa.column(name) for name in self.columns), schema=self.schema)


def open_table(settings: Settings, database: Database, time_zone: str) -> Sample:
    """Draw a sample of at most :data:`~include.drafting.sample.MOST_ROWS` rows.

    :raises TableUnknown: if the database's table is not named or not there.
    :raises SampleUnusable: if nothing can be drafted from it.
    :raises SourceAway: if the database does not answer.
    :raises SourceBroken: if it refuses login or query.
    """
    with (
        open_session(database.connection, database.url) as session,
        tempfile.TemporaryDirectory(prefix="noria-sample-") as folder,
    ):
        wanted, table = _find(session, database)
        rows = _count(session, table)
        origin = TableOrigin(database=database, table=wanted, rows=rows, key=table.key)
        path = Path(folder) / "sample.csv"
        values = _write(session, _drawn(session, table, rows), origin, table, path)
        kinds = {name: found for name, seen in values.items() if (found := seen.kinds(name in table.booleans))}
        return read_rows(settings, origin, path, "csv", time_zone, kinds)


def _find(session: Connection, database: Database) -> tuple[str, _Table]:
    """The table that is asked for, under the name that a definition gives it."""
    inspector = sa.inspect(session)
    there = dict(_named(inspector))
    wanted = database.table or ""
    if wanted not in there and wanted.removeprefix(f"{inspector.default_schema_name}.") in there:
        wanted = wanted.removeprefix(f"{inspector.default_schema_name}.")
    if wanted not in there:
        raise TableUnknown(database.connection, database.table, sorted(there))
    schema, name, is_stored = there[wanted]
    columns = inspector.get_columns(name, schema)
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"] if is_stored else []
    return wanted, _Table(
        name=name,
        schema=schema,
        columns=tuple(one["name"] for one in columns if not isinstance(one["type"], _UNREADABLE)),
        booleans=frozenset(one["name"] for one in columns if isinstance(one["type"], sa.Boolean)),
        key=tuple(key),
        is_stored=is_stored,
    )


def _named(inspector: Inspector) -> Iterator[tuple[str, tuple[str | None, str, bool]]]:
    """Tables and views by the name that a definition would give them: schema, name, whether its rows are stored."""
    for schema in inspector.get_schema_names():
        if schema in _SYSTEM_SCHEMAS:
            continue
        is_default = schema == inspector.default_schema_name
        kinds = ((inspector.get_table_names(schema), True), (inspector.get_view_names(schema), False))
        for names, is_stored in kinds:
            for name in names:
                shown = name if is_default else f"{schema}.{name}"
                if SQL_TABLE.fullmatch(shown):
                    yield shown, (None if is_default else schema, name, is_stored)


def _count(session: Connection, table: _Table) -> int:
    if session.dialect.name == "postgresql" and table.is_stored:
        place = sa.func.to_regclass(str(table.clause.compile(dialect=session.dialect)))
        catalog = sa.table("pg_class", sa.column("oid"), sa.column("reltuples"))
        about = session.execute(sa.select(catalog.c.reltuples).where(catalog.c.oid == place)).scalar()
        if about is not None and about > HUGE:
            return int(about)
    return int(session.execute(sa.select(sa.func.count()).select_from(table.clause)).scalar_one())


def _drawn(session: Connection, table: _Table, rows: int) -> sa.Select[Any]:
    """The statement that draws the sample."""
    if not table.columns:
        return sa.select(sa.null()).limit(0)
    if rows <= MOST_ROWS:
        return sa.select(*table.clause.c)
    share = _FILLED * MOST_ROWS / rows
    if session.dialect.name == "postgresql" and table.is_stored:
        draw = sa.func.system if rows > HUGE else sa.func.bernoulli
        part = sa.tablesample(table.clause, draw(sa.literal(100 * share)), "drawn", sa.literal(SEED))
        return sa.select(*part.c).limit(MOST_ROWS)
    numbered = sa.select(*table.clause.c, sa.func.row_number().over().label("noria_number")).subquery("numbered")
    place = (numbered.c.noria_number * _STRIDE) % _PLACES
    chosen = [numbered.c[name] for name in table.columns]
    return sa.select(*chosen).where(place < int(_PLACES * share)).limit(MOST_ROWS)


@dataclass
class _Seen:
    """What a column's values were."""

    types: set[type] = field(default_factory=set)
    text: str | None = None

    def add(self, value: Any) -> None:
        if value is not None:
            self.types.add(type(value))
            if self.text is None and isinstance(value, str):
                self.text = value

    def kinds(self, is_boolean: bool) -> tuple[ColumnType, ...]:
        """The types that a definition may give it, the narrowest first; none if there is none."""
        if is_boolean and self.types <= {bool, int}:  # some databases keep them as 0 and 1
            return ("boolean",)
        if self.types - _KINDS.keys():
            return ()
        if self.types == {str} and is_comparable(self.text or ""):
            return ("timestamp", "string")
        if len(self.types) == 1:
            return _KINDS[next(iter(self.types))]
        if self.types <= {int, float, Decimal} and self.types:
            return ("number",)
        return ("timestamp",) if self.types == {date, datetime} else ("string",)


def _write(
    session: Connection, statement: sa.Select[Any], origin: TableOrigin, table: _Table, path: Path
) -> dict[str, _Seen]:
    """Write the rows as CSV, some hundred in memory at a time, and say what values each column has.

    :raises SampleUnusable: if they are too large.
    """
    seen = {name: _Seen() for name in table.columns}
    streamed = session.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        for rows in streamed.execute(statement).partitions(_ROWS_AT_ONCE):
            for row in rows:
                for one, value in zip(seen.values(), row, strict=True):
                    one.add(value)
            writer.writerows([[csv_value(value) for value in row] for row in rows])
            if file.tell() > MOST_BYTES:
                problem = f"its rows are so large that a sample would have more than {MOST_BYTES >> 20} MiB"
                raise SampleUnusable(origin.shown, problem, "Make a view of the columns that matter, and name that.")
    return seen
