"""What a sample says of itself: each column's type, gaps, range and values, read with DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd

from include.errors import Refused
from include.lake.connections import open_duckdb, quote_name, quote_text
from include.lake.source_files import FileFormat, UnreadableFile, inspect_file
from include.settings import Settings
from include.spec.definition import ColumnType

#: Values of a text column that are remembered, the most frequent first.
MOST_VALUES: Final = 50
#: Rows that are looked at for what predicts what.
MOST_ROWS: Final = 100_000
VIEW: Final = "sample"

_FAMILIES: Final[dict[str, ColumnType]] = {
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"),
        "integer",
    ),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "number"),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE", "TIMESTAMP WITH TIME ZONE"), "timestamp"
    ),
    "BOOLEAN": "boolean",
}


class SampleUnusable(Refused):
    """A definition cannot be drafted from this file; carries the file and what is wrong."""

    def __init__(self, path: Path, problem: str, cure: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}. {cure}")


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


@dataclass(frozen=True)
class Sample:
    """A file of rows, open for questions.

    :param connection: with the file's rows as the view ``sample``.
    :param rows: number of rows.
    :param columns: by name, in the file's order.
    """

    path: Path
    format: FileFormat
    connection: duckdb.DuckDBPyConnection
    rows: int
    columns: Mapping[str, Column]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the view ``sample``."""
        return self.connection.execute(query).fetchall()

    def frame(self, names: list[str]) -> pd.DataFrame:
        """These columns of at most :data:`MOST_ROWS` rows, always the same ones."""
        items = ", ".join(map(quote_name, names))
        numbered = f"SELECT {items}, row_number() OVER () AS _number FROM {VIEW}"  # noqa: S608 - quoted names
        query = f"SELECT * EXCLUDE (_number) FROM ({numbered}) ORDER BY hash(_number) LIMIT {MOST_ROWS}"  # noqa: S608
        found: pd.DataFrame = self.connection.execute(query).df()
        return found


def open_sample(settings: Settings, path: Path) -> Sample:
    """Read what a Parquet or CSV file holds.

    :raises SampleUnusable: if it is no such file, or has no rows.
    """
    path = path.absolute()
    form: FileFormat = "csv" if path.name.lower().endswith((".csv", ".csv.gz")) else "parquet"
    if not path.is_file():
        raise SampleUnusable(path, "there is no such file", "Give the path of a Parquet or CSV file.")
    try:
        file = inspect_file(path, form, str(path))
    except UnreadableFile as error:
        raise SampleUnusable(path, f"it {error}", "Give a complete Parquet or CSV file with a header.") from error
    connection = open_duckdb(settings, readable=[path.parent, path.resolve().parent])
    source = _csv(path, file.names) if form == "csv" else f"read_parquet({quote_text(str(path))})"
    try:
        connection.execute(f"CREATE TABLE {VIEW} AS SELECT * FROM {source}")  # noqa: S608 - a quoted path
    except duckdb.Error as error:
        words = str(error).strip().splitlines()[0][:200]
        raise SampleUnusable(path, f"it cannot be read ({words})", "Give a complete Parquet or CSV file.") from error
    rows = int(connection.execute(f"SELECT count(*) FROM {VIEW}").fetchall()[0][0])  # noqa: S608
    if not rows:
        raise SampleUnusable(path, "it has no rows", "Give a file with some weeks of rows.")
    described = connection.execute(f"DESCRIBE {VIEW}").fetchall()
    columns = {str(name): _column(connection, str(name), str(kind), rows) for name, kind, *_ in described}
    return Sample(path, form, connection, rows, columns)


def _csv(path: Path, names: list[str]) -> str:
    """As the line reads CSV, but with types that are looked for in all rows."""
    quoted = ", ".join(map(quote_text, names))
    return (
        f"read_csv({quote_text(str(path))}, auto_detect = true, sample_size = -1, header = true, delim = ',', "
        f"quote = '\"', escape = '\"', nullstr = '', names = [{quoted}])"
    )


def _column(connection: duckdb.DuckDBPyConnection, name: str, duckdb_type: str, rows: int) -> Column:
    kind: ColumnType = "number" if duckdb_type.startswith("DECIMAL") else _FAMILIES.get(duckdb_type, "string")
    quoted = quote_name(name)
    present = f"{quoted} IS NOT NULL" + (f" AND NOT isnan({quoted})" if duckdb_type in {"FLOAT", "DOUBLE"} else "")
    asked = f"SELECT count(*), count(DISTINCT {quoted}), min({quoted}), max({quoted}) FROM {VIEW} WHERE {present}"  # noqa: S608
    count, distinct, low, high = connection.execute(asked).fetchall()[0]
    values = None
    if kind == "string":
        frequent = (
            f"SELECT CAST({quoted} AS VARCHAR) AS value, count(*) AS rows FROM {VIEW} WHERE {present} "  # noqa: S608
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
