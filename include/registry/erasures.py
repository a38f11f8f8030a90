"""The record of erasures: who took a key out of a model's data, when, why and with what effect, without the key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from include.registry import database
from include.registry.tables import erasure, version_erasure
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """One erasure.

    :param key_columns: the columns that the key consists of.
    :param key_hmac: HMAC of its values, with the installation's hashing key.
    :param finished_at: None while it is under way, or if it was killed.
    :param document: what it found and did.
    """

    id: int
    model: str
    key_columns: list[str]
    key_hmac: str
    actor: str
    reason: str
    started_at: datetime
    finished_at: datetime | None
    document: dict[str, Any]


def begin(
    settings: Settings, model: str, *, key_columns: Sequence[str], key_hmac: str, actor: str, reason: str
) -> Erasure:
    """The record of an erasure that begins, or of the same one that was begun and not ended."""
    values = {
        "model": model, "key_columns": list(key_columns), "key_hmac": key_hmac, "actor": actor, "reason": reason
    }  # fmt: skip
    open_one = (erasure.c.model == model) & (erasure.c.key_hmac == key_hmac) & erasure.c.finished_at.is_(None)
    with database.transaction(settings.database_url) as connection:
        database.lock_until_commit(connection, "erasure", model)
        found = connection.execute(select(erasure).where(open_one)).one_or_none()
        if found is None:
            found = connection.execute(erasure.insert().values(**values).returning(*erasure.c)).one()
        return Erasure(**found._mapping)


def note(settings: Settings, number: int, document: Mapping[str, Any], *, finished: bool = False) -> Erasure:
    """Keep what was done so far."""
    values: dict[str, Any] = {"document": dict(document)}
    if finished:
        values["finished_at"] = func.clock_timestamp()
    statement = erasure.update().where(erasure.c.id == number).values(**values).returning(*erasure.c)
    with database.transaction(settings.database_url) as connection:
        return Erasure(**connection.execute(statement).one()._mapping)


def mark_versions(settings: Settings, model: str, number: int, versions: Iterable[int]) -> None:
    """Say of versions that they were trained on what this erasure took away; may be said again."""
    rows = [{"model": model, "version": version, "erasure_id": number} for version in sorted(set(versions))]
    if rows:
        with database.transaction(settings.database_url) as connection:
            connection.execute(insert(version_erasure).values(rows).on_conflict_do_nothing())


def list_erasures(settings: Settings, model: str) -> list[Erasure]:
    """All erasures of a model, oldest first."""
    query = select(erasure).where(erasure.c.model == model).order_by(erasure.c.id)
    with database.transaction(settings.database_url) as connection:
        return [Erasure(**row._mapping) for row in connection.execute(query)]


def irreproducible_versions(settings: Settings, model: str) -> dict[int, Erasure]:
    """The versions that can no longer be made again, each with the first erasure that took rows of it away."""
    query = (
        select(version_erasure.c.version, *erasure.c)
        .join(erasure, erasure.c.id == version_erasure.c.erasure_id)
        .where(version_erasure.c.model == model)
        .order_by(erasure.c.id)
    )
    found: dict[int, Erasure] = {}
    with database.transaction(settings.database_url) as connection:
        for version, *values in connection.execute(query):
            found.setdefault(version, Erasure(**dict(zip(erasure.c.keys(), values, strict=True))))
    return found


def irreproducible(version: int, found: Erasure) -> str:
    """What a reader is told of such a version."""
    return (
        f"version {version} is no longer reproducible: rows that it was trained on were erased on "
        f"{found.started_at:%Y-%m-%d} (erasure {found.id})"
    )
