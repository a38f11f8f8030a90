"""A small database for tests of SQL sources: orders of some days, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include.lake.sources import open_source
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import make_definition

COLUMNS = "at, shop, number, price, express, days"
TYPES = "at timestamp, shop varchar(20), number integer, price float, express boolean, days float"
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def sql_definition(**source: Any) -> Definition:
    """The factory's model with a SQL source; keys of ``source`` can be replaced, None removes one."""
    document = make_definition().model_dump()
    kept = ("partition", "time_zone", "starts", "event_time", "entity", "columns")
    asked = {
        "type": "sql",
        "connection": "shop",
        "table": "orders",
        **{k: document["source"][k] for k in kept},
    } | source
    document["source"] = {key: value for key, value in asked.items() if value is not None}
    return Definition.model_validate(document)


def connected(settings: Settings, url: str) -> Settings:
    """Settings that know the connection ``shop``."""
    return replace(settings, connections=(("shop", url),))


def run_sql(url: str, *statements: str, rows: Sequence[dict[str, Any]] = ()) -> None:
    """Run statements, then insert rows into ``orders``."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement.replace(":", "\\:")))
        if rows:
            table = sa.table("orders", *(sa.column(name) for name in rows[0]))
            connection.execute(table.insert(), list(rows))


def order_rows(day: str, count: int = 4) -> list[dict[str, Any]]:
    """Rows of a day, six hours apart."""
    start = datetime.fromisoformat(day)
    return [
        {
            "at": start + timedelta(hours=6 * i),
            "shop": "North, or 'South'" if i % 2 else None,
            "number": i,
            "price": 0.1 * i,
            "express": bool(i % 2),
            "days": float(i),
        }
        for i in range(count)
    ]


def make_orders(url: str, types: str = TYPES) -> None:
    """The table ``orders`` with three days."""
    run_sql(url, f"CREATE TABLE orders ({types})", rows=[row for day in DAYS for row in order_rows(day)])


def stage(
    settings: Settings,
    definition: Definition,
    keys: Sequence[str] = DAYS,
    *,
    attempt: str = "try-1",
    force: bool = False,
) -> dict[str, StagedPartition]:
    """Stage partitions as ``ingest`` does; by key."""
    published = LakeTable(settings, definition.model, "raw").partitions()
    source = open_source(settings, definition, attempt, "suite")
    return {partition.key: partition for partition in source.stage(keys, published, force=force)}
