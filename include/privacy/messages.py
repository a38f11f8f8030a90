"""Texts in the database that may name a key: what gates and checks found, and what people are told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, Text, cast, select

from include.privacy.held import Held
from include.privacy.key import EntityKey
from include.privacy.pages import cleaned
from include.registry import database
from include.registry.tables import alert, check_result
from include.settings import Settings

_DOCUMENTS = ((check_result, "details"), (alert, "document"))


def find(settings: Settings, key: EntityKey) -> Held:
    """What the database's texts say of a key."""
    return _each(settings, key, change=False)


def erase(settings: Settings, key: EntityKey) -> Held:
    """Take the key's values out of them. PostgreSQL keeps the old rows until VACUUM has been there."""
    return _each(settings, key, change=True)


def _each(settings: Settings, key: EntityKey, *, change: bool) -> Held:
    where: dict[str, int] = {}
    with database.transaction(settings.database_url) as connection:
        for table, column in _DOCUMENTS:
            count = _in_table(connection, table, column, key, change=change)
            if count:
                where[table.name] = count
    return Held(place="messages", rows=sum(where.values()), where=where)


def _in_table(connection: Connection, table: Table, column: str, key: EntityKey, *, change: bool) -> int:
    """Rows of this model whose document names the key; without a distinctive value only whole rows are known."""
    query = select(table.c.id, table.c[column]).where(table.c.model == key.definition.model)
    if key.distinctive is None:
        query = query.where(cast(table.c[column], Text).contains(key.columns[0]))
    changed: list[tuple[int, Any]] = []
    for number, document in connection.execute(query):
        without, count = cleaned(document, key)
        if count:
            changed.append((number, without))
    if change:
        for number, document in changed:
            connection.execute(table.update().where(table.c.id == number).values({column: document}))
    return len(changed)
