"""Orders that are joined with the regions of shops (one file) and the weather of their day (a file for each)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import land, make_definition

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
SHOPS = "{store}/landing/shops.csv"
WEATHER = "{store}/landing/weather/{partition}.csv"
COLUMNS = make_definition().source.columns | {"region": "string", "rain": "number"}
QUERY = (
    "SELECT o.*, s.region, w.rain FROM source o LEFT JOIN shops s ON s.name = o.shop "
    "LEFT JOIN weather w ON CAST(w.hour AS TIMESTAMP) = date_trunc('hour', o.\"at\")"
)


def joined_definition(make: Callable[..., Definition] = make_definition, **source: Any) -> Definition:
    """The factory's orders with the regions of shops (one file) and the day's weather (a file for each partition)."""
    keys = {
        "columns": COLUMNS,
        "tables": {"shops": {"path": SHOPS}, "weather": {"path": WEATHER}},
        "query": QUERY,
    } | source
    return make(source=keys) if make is make_definition else make(**keys)


def write(settings: Settings, path: str, text: str) -> Path:
    """A text below the store's landing."""
    file = settings.store / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def land_all(settings: Settings, days: list[str] = DAYS) -> None:
    """Orders, shops and weather."""
    write(settings, "shops.csv", "name,region\nNorth,arctic\nEast,orient\n")
    for day in days:
        land(settings, day)
        write(settings, f"weather/{day}.csv", f"hour,rain\n{day} 00:00,1.5\n{day} 01:00,2.5\n")
