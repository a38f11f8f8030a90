"""What is noted of a retirement on its way: what servers saw of requests, the archive, and what was freed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from include.registry import database, ledger
from include.registry.refusals import NotRetiredNow
from include.registry.retirement import state_before_retirement
from include.registry.retirement_state import Retirement, retirement_of
from include.registry.tables import deployment, deployment_ledger, model_version, retirement
from include.settings import Settings

ARCHIVE: Final = "archive"
FREE: Final = "free"
"""The ledger's actions: the archive is whole, and what neither audit nor a return needs is gone."""


def report_sighting(
    settings: Settings, model: str, server: str, *, seen_until: datetime, last_request_at: datetime | None
) -> None:
    """Say what a server knows of the requests for a model that is on its way out; for another one nothing happens.

    :param server: a name that no other server has.
    :param seen_until: up to when it knows all of its requests.
    :param last_request_at: when the newest one of these came; None if there is none in the log.
    :raises DatabaseAway: the database cannot be reached.
    """
    seen = {
        "seen_until": seen_until.isoformat(),
        "last_request_at": None if last_request_at is None else last_request_at.isoformat(),
    }
    with database.transaction(settings.database_url) as connection:
        connection.execute(
            update(retirement)
            .where(retirement.c.model == model, retirement.c.restorable_until.is_(None))
            .values(sightings=retirement.c.sightings.op("||")(literal({server: seen}, JSONB)))
        )


def mark_archived(
    settings: Settings, under_way: Retirement, *, archive: str, digest: str, actor: str, evidence: Mapping[str, Any]
) -> bool:
    """Note that the archive of a retirement is whole; returns whether that is news.

    :param archive: its folder, relative to the store.
    :param digest: of its manifest.
    :raises NotRetiredNow: the retirement was undone meanwhile.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, under_way.model)
        now = _same(locked.retirement, under_way)
        if (now.archive, now.archive_digest) == (archive, digest):
            return False
        connection.execute(
            retirement.update()
            .where(retirement.c.model == under_way.model)
            .values(archive=archive, archive_digest=digest)
        )
        _note(
            connection, locked, ARCHIVE, actor, f"archived as {archive}",
            {**evidence, "archive": archive, "digest": digest},
        )  # fmt: skip
        return True


def begin_freeing(settings: Settings, under_way: Retirement) -> list[int]:
    """Settle, once its time is over, that a retirement is final; from then on it cannot be undone.

    :returns: the versions that never answered anybody: their artifacts may go, and they are deployed no more.
    :raises NotRetiredNow: the retirement was undone, its time is not over, or a version is on its way into production.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, under_way.model)
        now = _same(locked.retirement, under_way)
        over = connection.execute(select(func.clock_timestamp() > now.restorable_until)).scalar_one()
        if not over or not locked.retired or locked.roles:
            raise NotRetiredNow(under_way.model)
        if now.freeing_at is None:
            connection.execute(
                retirement.update()
                .where(retirement.c.model == under_way.model)
                .values(freeing_at=func.clock_timestamp())
            )
            unused = _never_answered(connection, under_way.model)
            connection.execute(
                model_version.update()
                .where(model_version.c.model == under_way.model, model_version.c.version.in_(unused))
                .values(freed_at=func.clock_timestamp())
            )
        freed = select(model_version.c.version).where(
            model_version.c.model == under_way.model, model_version.c.freed_at.is_not(None)
        )
        return sorted(connection.scalars(freed))


def mark_freed(
    settings: Settings, under_way: Retirement, *, final: bool, actor: str, reason: str, evidence: Mapping[str, Any]
) -> None:
    """Note in the ledger what was freed.

    :param final: whether that is all; then the retirement is over.
    :raises NotRetiredNow: the retirement was undone meanwhile.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, under_way.model)
        _same(locked.retirement, under_way)
        if final:
            connection.execute(
                retirement.update().where(retirement.c.model == under_way.model).values(freed_at=func.clock_timestamp())
            )
        _note(connection, locked, FREE, actor, reason, {**evidence, "final": final})


def retirements_due(settings: Settings) -> list[Retirement]:
    """Retirements whose time to be undone is over, and of which not all is freed, by model.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = (
        select(retirement)
        .join(deployment, deployment.c.model == retirement.c.model)
        .where(
            retirement.c.restorable_until < func.clock_timestamp(),
            retirement.c.freed_at.is_(None),
            deployment.c.retired_at.is_not(None),
        )
        .order_by(retirement.c.model)
    )
    with database.transaction(settings.database_url) as connection:
        return [retirement_of(row) for row in connection.execute(query)]


def answered_versions(connection: Connection, model: str) -> set[int]:
    """The versions that ever answered requests, as the ledger knows them: champions, canaries, sides of an A/B test."""
    states = connection.scalars(select(deployment_ledger.c.state).where(deployment_ledger.c.model == model))
    answering = ("champion", "canary", "ab")
    return {state[role] for state in states for role in answering if role in state}


def _never_answered(connection: Connection, model: str) -> set[int]:
    kept = answered_versions(connection, model) | set(state_before_retirement(connection, model).values())
    every = connection.scalars(select(model_version.c.version).where(model_version.c.model == model))
    return set(every) - kept


def _same(now: Retirement | None, wanted: Retirement) -> Retirement:
    if now is None or now.began_at != wanted.began_at or now.is_draining:
        raise NotRetiredNow(wanted.model)
    return now


def _note(
    connection: Connection, locked: ledger.Locked, action: str, actor: str, reason: str, evidence: Mapping[str, Any]
) -> None:
    ledger.record(
        connection, locked, action=action, roles=locked.roles, from_version=None, to_version=None, actor=actor,
        reason=reason, evidence=evidence, retired=locked.retired,
    )  # fmt: skip
