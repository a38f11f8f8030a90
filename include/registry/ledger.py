"""The append-only ledger of deployments, and the lock and revision under which every change of state happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from include.registry import database
from include.registry.retirement_state import Retirement, retirement_in
from include.registry.roles import CHALLENGER_ROLES, Held, share_of
from include.registry.tables import deployment, deployment_ledger, deployment_state, outbox, retirement
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One change: what happened to which version, by whom and why, and the roles and their shares afterwards."""

    id: int
    model: str
    revision: int
    at: datetime
    action: str
    from_version: int | None
    to_version: int | None
    actor: str
    reason: str
    evidence: dict[str, Any]
    state: dict[str, int]
    shares: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A model whose deployment row is locked by this transaction.

    :param revision: its revision before the change.
    :param held: who holds which role.
    :param retired: whether the model is out of production.
    :param retirement: how far its retirement has come, if it is being retired or was.
    """

    model: str
    revision: int
    held: Mapping[str, Held]
    retired: bool
    retirement: Retirement | None = None

    @property
    def roles(self) -> dict[str, int]:
        """Version by role."""
        return {role: held.version for role, held in self.held.items()}

    @property
    def champion(self) -> int | None:
        """The champion's version."""
        return self.roles.get("champion")

    @property
    def previous(self) -> int | None:
        """The version to which a rollback goes."""
        return self.roles.get("previous")

    @property
    def challenger_role(self) -> str | None:
        """The role of the version that is on its way to champion, if there is one."""
        return next((role for role in CHALLENGER_ROLES if role in self.held), None)

    @property
    def challenger(self) -> Held | None:
        """The version that is on its way to champion."""
        return None if self.challenger_role is None else self.held[self.challenger_role]


def lock(connection: Connection, model: str) -> Locked:
    """Lock the model's deployment row until the transaction ends, and read its state.

    Two changes of one model therefore happen one after the other, each seeing what the other left.
    """
    connection.execute(insert(deployment).values(model=model).on_conflict_do_nothing())
    row = connection.execute(select(deployment).where(deployment.c.model == model).with_for_update()).one()
    state = deployment_state.c
    columns = (state.role, state.version, state.share, state.since, state.plan, state.until, state.deployment)
    held = {
        found.role: Held(
            version=found.version, share=found.share, since=found.since,
            plan=found.plan or {}, until=found.until, deployment=found.deployment,
        )
        for found in connection.execute(select(*columns).where(state.model == model))
    }  # fmt: skip
    return Locked(
        model=model, revision=row.revision, held=held, retired=row.retired_at is not None,
        retirement=retirement_in(connection, model),
    )  # fmt: skip


def record(
    connection: Connection,
    locked: Locked,
    *,
    action: str,
    roles: Mapping[str, int],
    from_version: int | None,
    to_version: int | None,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    retired: bool = False,
    entering: Mapping[str, Held] | None = None,
) -> LedgerEntry:
    """Write the new roles, the ledger row and the outbox row in the caller's transaction.

    :param roles: version by role after the change; roles that keep their version keep their share and ``since``.
    :param entering: of these, roles that are taken anew with a share, a plan and a deadline of their own.
    :param retired: whether the model is out of production after the change.
    """
    revision = locked.revision + 1
    last = select(func.max(deployment_ledger.c.at)).where(deployment_ledger.c.model == locked.model).scalar_subquery()
    # Time never runs backwards within a model, whatever the machine's clock does.
    now = connection.execute(
        select(func.greatest(func.clock_timestamp(), last + text("interval '1 microsecond'")))
    ).scalar_one()
    after = _held_after(locked, roles, entering or {})
    _write_roles(connection, locked, after, revision, now)
    connection.execute(
        deployment.update()
        .where(deployment.c.model == locked.model)
        .values(revision=revision, retired_at=func.coalesce(deployment.c.retired_at, now) if retired else None)
    )
    if "champion" in roles and locked.retirement is not None and not locked.retirement.is_draining:
        # It was out and has a champion again: whatever is retired next is another retirement.
        connection.execute(retirement.delete().where(retirement.c.model == locked.model))
    entry = {
        "model": locked.model,
        "revision": revision,
        "at": now,
        "action": action,
        "from_version": from_version,
        "to_version": to_version,
        "actor": actor,
        "reason": reason,
        "evidence": dict(evidence or {}),
        "state": dict(roles),
        "shares": {role: held.share for role, held in after.items()},
    }
    row_id = connection.execute(
        deployment_ledger.insert().values(**entry).returning(deployment_ledger.c.id)
    ).scalar_one()
    connection.execute(outbox.insert().values(model=locked.model, revision=revision))
    return LedgerEntry(id=row_id, **entry)


def _held_after(locked: Locked, roles: Mapping[str, int], entering: Mapping[str, Held]) -> dict[str, Held]:
    def after(role: str, version: int) -> Held:
        if role in entering:
            return entering[role]
        before = locked.held.get(role)
        kept = before is not None and before.version == version
        return before if before is not None and kept else Held(version=version, share=share_of(role))

    return {role: after(role, version) for role, version in roles.items()}


def _write_roles(
    connection: Connection, locked: Locked, after: Mapping[str, Held], revision: int, now: datetime
) -> None:
    state = deployment_state
    left = [role for role, held in locked.held.items() if after.get(role) is not held]
    connection.execute(state.delete().where(state.c.model == locked.model, state.c.role.in_(left)))
    for role, held in after.items():
        if locked.held.get(role) is held:
            continue
        connection.execute(
            state.insert().values(
                model=locked.model, role=role, version=held.version, share=held.share, since=now, revision=revision,
                plan=dict(held.plan) or None, until=held.until, deployment=held.deployment,
            )
        )  # fmt: skip


def history(settings: Settings, model: str) -> list[LedgerEntry]:
    """Everything that ever changed the model's deployment, oldest first.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = select(deployment_ledger).where(deployment_ledger.c.model == model).order_by(deployment_ledger.c.revision)
    with database.transaction(settings.database_url) as connection:
        return [_entry(row) for row in connection.execute(query)]


def entry_at(settings: Settings, model: str, instant: datetime) -> LedgerEntry | None:
    """The newest change up to an instant; None if there was none yet.

    :param instant: with time zone.
    :raises ValueError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"An instant needs a time zone, {instant.isoformat()} has none.")
    query = (
        select(deployment_ledger)
        .where(deployment_ledger.c.model == model, deployment_ledger.c.at <= instant)
        .order_by(deployment_ledger.c.revision.desc())
        .limit(1)
    )
    with database.transaction(settings.database_url) as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _entry(row)


def _entry(row: Row[Any]) -> LedgerEntry:
    values = dict(row._mapping)
    # Rows of schema 1 have no shares: there the champion answered everything.
    shares = values["shares"] or {role: share_of(role) for role in values["state"]}
    return LedgerEntry(**{**values, "shares": shares})


@dataclass(frozen=True, kw_only=True)
class StateAt:
    """Which versions answered at an instant.

    :param champion: its version; it answered everything that the challenger did not.
    :param challenger: the version that was on its way to champion, and its role; None if there was none.
    :param share: part of the entities that the challenger answered, 0 to 1.
    :param since: when that began; None if nothing had been deployed yet.
    :param revision: the model's revision then.
    """

    model: str
    at: datetime
    champion: int | None = None
    challenger: int | None = None
    role: str | None = None
    share: float = 0.0
    since: datetime | None = None
    revision: int = 0

    @property
    def answering(self) -> frozenset[int]:
        """The versions that answered requests that name no version."""
        challenger = self.challenger if self.share > 0 else None
        return frozenset(version for version in (self.champion, challenger) if version is not None)


def state_at(settings: Settings, model: str, instant: datetime) -> StateAt:
    """Who was champion and who challenger at an instant, with its share, from the ledger.

    :param instant: with time zone.
    :raises ValueError: the instant has no time zone.
    """
    entry = entry_at(settings, model, instant)
    if entry is None:
        return StateAt(model=model, at=instant)
    role = next((role for role in CHALLENGER_ROLES if role in entry.state), None)
    return StateAt(
        model=model, at=instant, champion=entry.state.get("champion"),
        challenger=None if role is None else entry.state[role],
        role=role, share=0.0 if role is None else float(entry.shares.get(role, 0.0)),
        since=entry.at, revision=entry.revision,
    )  # fmt: skip
