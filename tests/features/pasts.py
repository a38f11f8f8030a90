"""A group of the past over rows in memory, and the same values by brute force: one row after the other, in Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pyarrow as pa

from include.features.history import Past
from include.features.history_windows import HistoryWindows
from include.lake.connections import query_table
from include.lake.table import PartitionRecord
from include.spec.definition import Definition
from include.spec.histories import History, history_of
from include.spec.partitions import Partition, PartitionCalendar
from include.spec.windows import earlier
from tests.lake.factories import make_definition

VALUES: dict[str, Any] = {
    "orders": "count",
    "late": {"count": "days > 2"},
    "late_rate": {"mean": "days > 2"},
    "mean_price": {"mean": "price"},
    "turnover": {"sum": "price"},
    "last_price": {"last": "price"},
    "lowest": {"min": "price"},
    "highest": {"max": "price"},
}

Row = dict[str, Any]


class MemoryTable:
    """What a group needs of a raw table."""

    def __init__(self, rows: Mapping[str, Sequence[Row]]) -> None:
        self._rows = rows

    def scan(self, connection: duckdb.DuckDBPyConnection, name: str, *, keys: Collection[str], **_: int) -> None:
        """The rows of some partitions, in the order in which they lie."""
        rows = [row | {"partition": key} for key in keys for row in self._rows.get(key, ())]
        kinds = {
            "partition": pa.string(), "_row": pa.int64(), "at": pa.timestamp("us"), "shop": pa.string(),
            "number": pa.int64(), "price": pa.float64(), "express": pa.bool_(), "days": pa.float64(),
        }  # fmt: skip
        columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
        connection.register(f"{name}_memory", pa.table(columns))
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {name}_memory")


def history_definition(
    *, partition: str = "day", over: str = "3d", known_after: str = "0s", by: Sequence[str] = ("shop",), **changes: Any
) -> Definition:
    """The factory's model with one group of the past."""
    source = {"partition": partition, "time_zone": "America/New_York", "starts": date(2024, 1, 1)}
    group = {"by": list(by), "over": over, "known_after": known_after, "values": VALUES}
    given = {"source": source, "history": {"recent": group}, "features": {"rate": {"expression": "recent_late_rate"}}}
    return make_definition(**(given | changes))


def past_over(definition: Definition, rows: Mapping[str, Sequence[Row]]) -> Past:
    """The group over rows in memory."""
    history = history_of(definition, "recent")
    assert history is not None
    records = {key: PartitionRecord(key=key, digest=f"d{key}", inputs="", rows=len(rows[key])) for key in sorted(rows)}
    return Past(
        history=history,
        columns=history.columns,
        table=MemoryTable(rows),  # type: ignore[arg-type]
        version=0,
        records=records,
        windows=HistoryWindows(history, records),
    )


def computed(past: Past, partitions: Sequence[Partition], *, threads: int = 2) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Partition and key → values."""
    connection = duckdb.connect(config={"threads": threads})
    past.compute(connection, "values_", partitions)
    found = query_table(connection, "SELECT * FROM values_").to_pylist()
    connection.close()
    names = ["_key", *past.history.by]
    return {tuple(row.pop(name) for name in names): row for row in found}


def brute_force(history: History, rows: Mapping[str, Sequence[Row]], partition: Partition) -> dict[Any, dict[str, Any]]:
    """Key → values: every partition of the calendar is looked at, every row of it is added."""
    calendar = PartitionCalendar.of(history.owner)
    limit = earlier(calendar, partition.start, history.known_after)
    before = calendar.covering(earlier(calendar, limit, history.over * 2), partition.end)
    known = [one for one in before if one.end <= limit]
    if not known:
        return {}
    begin = earlier(calendar, known[-1].end, history.over)
    by_key: dict[Any, list[Row]] = {}
    for one in known:
        if one.start < begin:
            continue
        for row in sorted(rows.get(one.key, ()), key=lambda row: (row["at"], row["_row"])):
            key = tuple(row[name] for name in history.by)
            if None not in key:
                by_key.setdefault(key, []).append(row)
    return {key: _values(found) for key, found in by_key.items()}


def _values(rows: Sequence[Row]) -> dict[str, Any]:
    days = [row["days"] for row in rows]
    late = [float(one > 2) for one in days if one is not None]
    prices = [row["price"] + 0.0 for row in rows if row["price"] is not None and abs(row["price"]) <= 1e18]
    return {
        "recent_orders": len(rows),
        "recent_late": int(sum(late)),
        "recent_late_rate": _mean(late),
        "recent_mean_price": _mean(prices),
        "recent_turnover": _total(prices) / 1_000_000 if prices else None,
        "recent_last_price": prices[-1] if prices else None,
        "recent_lowest": min(prices) if prices else None,
        "recent_highest": max(prices) if prices else None,
    }


def _total(values: Sequence[float]) -> int:
    return sum(int(Decimal(one * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP)) for one in values)


def _mean(values: Sequence[float]) -> float | None:
    return float(_total(values)) / (len(values) * 1_000_000.0) if values else None


def row(number: int, at: datetime, shop: str | None, price: float | None = 1.0, days: float | None = 0.0) -> Row:
    """One order."""
    return {"_row": number, "at": at, "shop": shop, "number": number, "price": price, "express": True, "days": days}
