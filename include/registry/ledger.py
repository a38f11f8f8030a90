"""The append-only ledger of deployments, and the lock and revision under which every change of state happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from include.registry import database
from include.registry.tables import CHANNEL, deployment, deployment_ledger, deployment_state, outbox
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One change: what happened to which version, by whom and why, and the roles afterwards."""

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

    def to_document(self) -> dict[str, Any]:
        """The same as JSON."""
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A model whose deployment row is locked by this transaction.

    :param revision: its revision before the change.
    :param roles: version by role.
    :param retired: whether the model is out of production for good.
    """

    model: str
    revision: int
    roles: Mapping[str, int]
    retired: bool

    @property
    def champion(self) -> int | None:
        """The champion's version."""
        return self.roles.get("champion")

    @property
    def previous(self) -> int | None:
        """The version to which a rollback goes."""
        return self.roles.get("previous")


def lock(connection: Connection, model: str) -> Locked:
    """Lock the model's deployment row until the transaction ends, and read its state.

    Two changes of one model therefore happen one after the other, each seeing what the other left.
    """
    connection.execute(insert(deployment).values(model=model).on_conflict_do_nothing())
    row = connection.execute(select(deployment).where(deployment.c.model == model).with_for_update()).one()
    roles = connection.execute(
        select(deployment_state.c.role, deployment_state.c.version).where(deployment_state.c.model == model)
    )
    return Locked(
        model=model,
        revision=row.revision,
        roles={row.role: row.version for row in roles},
        retired=row.retired_at is not None,
    )


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
) -> LedgerEntry:
    """Write the new roles, the ledger row and the outbox row in the caller's transaction.

    :param roles: version by role after the change; roles that keep their version keep their ``since``.
    :param retired: whether the model is out of production after the change.
    """
    revision = locked.revision + 1
    last = select(func.max(deployment_ledger.c.at)).where(deployment_ledger.c.model == locked.model).scalar_subquery()
    # Time never runs backwards within a model, whatever the machine's clock does.
    now = connection.execute(
        select(func.greatest(func.clock_timestamp(), last + text("interval '1 microsecond'")))
    ).scalar_one()
    _write_roles(connection, locked, roles, revision, now)
    connection.execute(
        deployment.update()
        .where(deployment.c.model == locked.model)
        .values(revision=revision, retired_at=now if retired else None)
    )
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
    }
    row_id = connection.execute(
        deployment_ledger.insert().values(**entry).returning(deployment_ledger.c.id)
    ).scalar_one()
    connection.execute(outbox.insert().values(model=locked.model, revision=revision))
    connection.execute(select(func.pg_notify(CHANNEL, locked.model)))
    return LedgerEntry(id=row_id, **entry)


def _write_roles(
    connection: Connection, locked: Locked, roles: Mapping[str, int], revision: int, now: datetime
) -> None:
    for role in locked.roles.keys() | roles.keys():
        if locked.roles.get(role) == roles.get(role):
            continue
        connection.execute(
            deployment_state.delete().where(deployment_state.c.model == locked.model, deployment_state.c.role == role)
        )
        if role in roles:
            share = 1.0 if role == "champion" else 0.0
            connection.execute(
                deployment_state.insert().values(
                    model=locked.model, role=role, version=roles[role], share=share, since=now, revision=revision
                )
            )


def history(settings: Settings, model: str) -> list[LedgerEntry]:
    """Everything that ever changed the model's deployment, oldest first.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = select(deployment_ledger).where(deployment_ledger.c.model == model).order_by(deployment_ledger.c.revision)
    with database.transaction(settings.database_url) as connection:
        return [LedgerEntry(**row._mapping) for row in connection.execute(query)]


def champion_at(settings: Settings, model: str, instant: datetime) -> int | None:
    """The version that was champion at an instant, from the ledger; None if there was none.

    :param instant: with time zone.
    :raises ValueError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"An instant needs a time zone, {instant.isoformat()} has none.")
    query = (
        select(deployment_ledger.c.state)
        .where(deployment_ledger.c.model == model, deployment_ledger.c.at <= instant)
        .order_by(deployment_ledger.c.revision.desc())
        .limit(1)
    )
    with database.transaction(settings.database_url) as connection:
        state = connection.execute(query).scalar_one_or_none()
    return None if state is None else state.get("champion")
