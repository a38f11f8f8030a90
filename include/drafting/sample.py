"""What a sample says of itself: each column's type, gaps, range and values, read with DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd

from include.drafting.origin import FileOrigin, TableOrigin
from include.errors import Refused
from include.lake.connections import open_duckdb, quote_name
from include.lake.conversion import Conversion, conversion, natural_type
from include.lake.faults import cause
from include.lake.source_files import FileFormat, SourceFile, UnreadableFile, inspect_file, scan_sql
from include.settings import Settings
from include.spec.definition import ColumnType

#: Values of a text column that are remembered, the most frequent first.
MOST_VALUES: Final = 50
#: Rows that are looked at for what predicts what.
MOST_ROWS: Final = 100_000
TABLE: Final = "sample"

#: What the texts of a CSV file may be, the narrowest first.
_READINGS: Final[tuple[ColumnType, ...]] = ("integer", "number", "timestamp", "boolean", "string")


class SampleUnusable(Refused):
    """A definition cannot be drafted from this; carries the file or table, and what is wrong."""

    def __init__(self, shown: str, problem: str, cure: str) -> None:
        self.shown = shown
        self.problem = problem
        super().__init__(f"{shown}: {problem}. {cure}")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the sample.

    :param nulls: share of its values that are missing.
    :param distinct: number of different values.
    :param low: smallest number or time; None for other types, or without any value.
    :param high: largest number or time.
    :param values: the most frequent texts, with their counts.
    """

    name: str
    type: ColumnType
    nulls: float
    distinct: int
    low: Any = None
    high: Any = None
    values: Mapping[str, int] | None = None

    @property
    def is_constant(self) -> bool:
        """Whether it says nothing, not even by its gaps."""
        return self.distinct == 0 or (self.distinct == 1 and self.nulls == 0)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows, open for questions.

    :param origin: where they are from.
    :param connection: with the rows as the table ``sample``, in the types of a definition.
    :param rows: number of rows.
    :param columns: by name, in the origin's order.
    :param unreadable: names of columns that no type of a definition fits.
    """

    origin: FileOrigin | TableOrigin
    connection: duckdb.DuckDBPyConnection
    rows: int
    columns: Mapping[str, Column]
    unreadable: tuple[str, ...]

    @property
    def shown(self) -> str:
        """How people know where it is from."""
        return self.origin.shown

    @property
    def rows_there(self) -> int:
        """Rows of all of what it is a sample of."""
        return self.rows if isinstance(self.origin, FileOrigin) else max(self.rows, self.origin.rows)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of which the database itself says that they name a row."""
        return () if isinstance(self.origin, FileOrigin) else self.origin.key

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the table ``sample``."""
        return self.connection.execute(query).fetchall()

    def values(self, name: str) -> pd.Series[Any]:
        """A column's values in at most :data:`MOST_ROWS` rows, the same ones for each column."""
        numbered = f"SELECT {quote_name(name)} AS value, row_number() OVER () AS number FROM {TABLE}"  # nosec B608
        query = f"SELECT value FROM ({numbered}) ORDER BY hash(number) LIMIT {MOST_ROWS}"  # nosec B608
        found: pd.Series[Any] = self.connection.execute(query).df()["value"]
        return found


def open_file(settings: Settings, path: Path, time_zone: str) -> Sample:
    """Read a Parquet or CSV file as the data step reads it, so that what is drafted from it can be ingested.

    :raises SampleUnusable: if it is no such file, or has no rows.
    """
    path = path.absolute()
    form: FileFormat = "csv" if path.name.lower().endswith((".csv", ".csv.gz")) else "parquet"
    if not path.is_file():
        raise SampleUnusable(str(path), "there is no such file", "Give the path of a Parquet or CSV file.")
    return read_rows(settings, FileOrigin(path), path, form, time_zone)


def read_rows(
    settings: Settings,
    origin: FileOrigin | TableOrigin,
    path: Path,
    form: FileFormat,
    time_zone: str,
    kinds: Mapping[str, tuple[ColumnType, ...]] | None = None,
) -> Sample:
    """Read a sample's rows from a file.

    :param kinds: the types that each column may have, the narrowest first; left out: what the file's own type says,
        and any for texts.
    :raises SampleUnusable: if it cannot be read, or has no rows.
    """
    try:
        file = inspect_file(path, form, origin.shown)
    except UnreadableFile as error:
        cure = "Give a complete Parquet or CSV file with a header."
        raise SampleUnusable(origin.shown, f"it {error}", cure) from error
    connection = open_duckdb(settings, readable=[path.parent, path.resolve().parent])
    try:
        read = _readings(connection, file, time_zone, kinds)
        if not read:
            raise SampleUnusable(origin.shown, "no type of a definition fits any of its columns", "Give another one.")
        items = ", ".join(reading.selected for _, reading in read)
        order = "" if kinds is None else " ORDER BY ALL"  # a database gives its rows in any order
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT {items} FROM {scan_sql([file])}{order}")  # nosec B608
    except duckdb.Error as error:
        raise SampleUnusable(origin.shown, f"it cannot be read ({cause(error)})", "Give a complete file.") from error
    rows = int(connection.execute(f"SELECT count(*) FROM {TABLE}").fetchall()[0][0])  # nosec B608
    if not rows:
        raise SampleUnusable(origin.shown, "it has no rows", "Give some weeks of rows.")
    columns = {reading.name: _column(connection, reading.name, kind, rows) for kind, reading in read}
    unreadable = tuple(name for name in file.names if name not in columns)
    return Sample(origin=origin, connection=connection, rows=rows, columns=columns, unreadable=unreadable)


def _readings(
    connection: duckdb.DuckDBPyConnection,
    file: SourceFile,
    time_zone: str,
    allowed: Mapping[str, tuple[ColumnType, ...]] | None,
) -> list[tuple[ColumnType, Conversion]]:
    """For each column that can be read the first type that fits all of its values, and how it becomes that."""
    scan = scan_sql([file])
    types = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()}  # nosec B608
    tried = []
    for name in file.names:
        natural = natural_type(types[name])
        kinds = _READINGS if file.format == "csv" else () if natural is None else (natural,)
        kinds = kinds if allowed is None else allowed.get(name, ())
        tried += [(kind, conversion(name, kind, types[name], time_zone)) for kind in kinds]
    if not tried:
        return []
    counted = ", ".join(f"count(*) FILTER (WHERE {reading.bad})" for _, reading in tried)
    bad = connection.execute(f"SELECT {counted} FROM {scan}").fetchall()[0]  # nosec B608
    found: dict[str, tuple[ColumnType, Conversion]] = {}
    for (kind, reading), faults in zip(tried, bad, strict=True):
        if not faults:
            found.setdefault(reading.name, (kind, reading))
    return list(found.values())


def _column(connection: duckdb.DuckDBPyConnection, name: str, kind: ColumnType, rows: int) -> Column:
    quoted = quote_name(name)
    asked = f"SELECT count({quoted}), count(DISTINCT {quoted}), min({quoted}), max({quoted}) FROM {TABLE}"  # nosec B608
    count, distinct, low, high = connection.execute(asked).fetchall()[0]
    values = None
    if kind == "string":
        frequent = (
            f"SELECT {quoted} AS value, count(*) AS rows FROM {TABLE} WHERE {quoted} IS NOT NULL "  # nosec B608
            f"GROUP BY 1 ORDER BY rows DESC, value LIMIT {MOST_VALUES}"
        )
        values = {str(value): int(number) for value, number in connection.execute(frequent).fetchall()}
    ranged = kind in {"integer", "number", "timestamp"}
    return Column(
        name=name,
        type=kind,
        nulls=1 - count / rows,
        distinct=int(distinct),
        low=low if ranged else None,
        high=high if ranged else None,
        values=values,
    )
