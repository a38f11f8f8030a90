"""A Delta table of orders that somebody else writes, for tests of sources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import make_definition

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
PATH = "{store}/warehouse/orders"
INSTANT = pa.timestamp("us", "UTC")
CLOCK = pa.timestamp("us")


def delta_definition(**source: Any) -> Definition:
    """The factory's model with a Delta table; keys of ``source`` can be replaced, None removes one."""
    document = make_definition().model_dump()
    kept = ("partition", "time_zone", "starts", "event_time", "entity", "columns")
    asked = {"type": "delta", "path": PATH, **{name: document["source"][name] for name in kept}} | source
    document["source"] = {key: value for key, value in asked.items() if value is not None}
    return Definition.model_validate(document)


def orders(day: str, count: int = 4, **columns: Any) -> dict[str, Any]:
    """Rows of a day, six hours apart; columns can be added or replaced by lists of values."""
    start = datetime.fromisoformat(day)
    return {
        "at": [start + timedelta(hours=6 * i) for i in range(count)],
        "shop": ["North" if i % 2 else None for i in range(count)],
        "number": list(range(count)),
        "price": [0.1 * i for i in range(count)],
        "express": [bool(i % 2) for i in range(count)],
        "days": [float(i) for i in range(count)],
        "secret": ["never read"] * count,
    } | columns


def table_folder(settings: Settings) -> Path:
    """Where the table is."""
    return settings.store / "warehouse" / "orders"


def write_orders(
    settings: Settings,
    *days: str,
    time: pa.DataType = INSTANT,
    partition_by: Sequence[str] = (),
    mode: Any = "append",
    rows: dict[str, Any] | None = None,
    uri: str | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """Write a commit for each day: for ``rows``, one with these."""
    for columns in [rows] if rows is not None else [orders(day) for day in days]:
        moments = columns["at"]
        if pa.types.is_timestamp(time) and time.tz is not None:
            moments = [moment.replace(tzinfo=moment.tzinfo or UTC) for moment in moments]
        data = pa.table({**columns, "at": pa.array(moments, time)})
        write_deltalake(
            uri or str(table_folder(settings)),
            data,
            mode=mode,
            partition_by=list(partition_by) or None,
            storage_options=options,
        )


def commit(settings: Settings, *actions: dict[str, Any]) -> None:
    """Write a commit by hand."""
    folder = table_folder(settings)
    version = DeltaTable(str(folder)).version() + 1
    (folder / "_delta_log" / f"{version:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def protocol(*features: str) -> dict[str, Any]:
    """The action that asks readers for these features."""
    names = ["timestampNtz", *features]
    return {
        "protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": names, "writerFeatures": names}
    }


def added_files(settings: Settings) -> list[dict[str, Any]]:
    """The table's ``add`` actions, as its log has them."""
    log = sorted((table_folder(settings) / "_delta_log").glob("*.json"))
    lines = [json.loads(line) for file in log for line in file.read_text().splitlines()]
    return [line["add"] for line in lines if "add" in line]
