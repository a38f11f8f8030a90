"""The flagship's year of flights, repeated until there are so many rows: each copy a little different, all repeatable.

A copy's flights keep day, carrier and airports, so that partitions, categories and labels stay as uneven as they are;
its numbers are moved by a hash of row and copy, and its flight numbers are its own, so that every key stays unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb

from include.lake.connections import quote_name, quote_text

#: Column → the most by which it is moved, either way, and the bounds that it stays within.
MOVED: Final = {
    "distance": (5.0, 10, 6000),
    "temp": (2.0, -40, 130),
    "wind_speed": (1.0, 0, 60),
    "pressure": (1.0, 900, 1100),
    "humid": (0.5, 0, 100),
    "arr_delay": (4.0, -180, 2000),
}
#: Copies are so far apart in flight numbers.
APART: Final = 10_000
_WRITERS: Final = 2


def repeat_flights(files: Sequence[Path], target: Path, rows: int, *, whole: int) -> int:
    """Write a file of the same name for each day, together about so many rows.

    :param whole: rows of all files.
    :returns: how many rows there are.
    """
    target.mkdir(parents=True)
    with ThreadPoolExecutor(_WRITERS) as pool:
        return sum(pool.map(lambda file: _repeat(file, target / file.name, rows / whole), files))


def _repeat(file: Path, target: Path, times: float) -> int:
    with duckdb.connect(config={"threads": 1, "memory_limit": "512MiB"}) as connection:
        source = f"read_parquet({quote_text(str(file))})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        items = ", ".join(f"{_item(name)}::{kind} AS {quote_name(name)}" for name, kind, *_ in described)
        copies = f"(SELECT range AS c FROM range({int(times) + 1}))"
        numbered = f"(SELECT *, row_number() OVER () AS n FROM {source})"
        query = f"SELECT {items} FROM {numbered} s, {copies} WHERE c + {_chance('0')} < {times!r} ORDER BY c, n"
        done = connection.execute(f"COPY ({query}) TO {quote_text(str(target))} (FORMAT parquet)").fetchall()
    return int(done[0][0])


def _item(name: str) -> str:
    column = f"s.{quote_name(name)}"
    if name == "flight":
        return f"{column} + {APART} * c"
    if name not in MOVED:
        return column
    by, least, most = MOVED[name]
    moved = f"{column} + (c > 0)::INT * {by} * (2 * {_chance(name)} - 1)"
    # Both pass over nulls, which must stay.
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE round(least(greatest({moved}, {least}), {most}), 2) END"


def _chance(salt: str) -> str:
    """A number from 0 to 1 that belongs to a row, its copy and the salt."""
    return f"((hash(n, c, {quote_text(salt)}) % 1000003) / 1000003.0)"
