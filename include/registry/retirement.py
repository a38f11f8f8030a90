"""A model's way out of production and back: it drains, leaves, and can be brought back until its time is over.

Each change is one transaction under the model's lock, so that neither a deployment that races nor a second person comes
between. What is archived and freed afterwards: :mod:`include.retirement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select

from include.lake.locks import advisory_lock
from include.registry import database, ledger, versions, withdrawal
from include.registry.ledger import LedgerEntry, Locked
from include.registry.refusals import NothingRetired, RestoredTooLate, VersionBarred
from include.registry.retirement_state import Retirement, retirement_in
from include.registry.roles import CHALLENGER_ROLES
from include.registry.tables import deployment_ledger, retirement
from include.settings import Settings
from include.spec.retirement import Retirement as Terms

DRAIN: Final = "drain"
RETIRE: Final = "retire"
RESTORE: Final = "restore"
"""The ledger's actions: the model begins to leave, is out, is back."""

LOCK: Final = "retirement"
"""Name of the advisory lock under which something is freed, or brought back."""

_WAIT_SECONDS: Final = 120
_TERMS: Final = Terms()
_AGAIN: Final = "again"


@dataclass(frozen=True, kw_only=True)
class Change:
    """Outcome of one step of a retirement.

    :param champion: the version that answers after it; None if none does.
    :param was: the champion before it.
    :param ledger_id: the ledger row that says why; None if nothing changed.
    :param changed: False if everything was so already, and nothing was written.
    :param withdrawn: the challenger that it took out.
    :param retirement: how far the retirement has come; None if there is none (any more).
    """

    model: str
    champion: int | None
    was: int | None
    ledger_id: int | None
    changed: bool
    withdrawn: int | None = None
    retirement: Retirement | None = None

    @property
    def under_way(self) -> Retirement:
        """The retirement, of a change that leaves one.

        :raises ValueError: there is none.
        """
        if self.retirement is None:
            raise ValueError(f"{self.model} is not being retired")
        return self.retirement


def begin(
    settings: Settings,
    model: str,
    *,
    actor: str,
    reason: str,
    drain: timedelta = _TERMS.drain,
    quiet: timedelta = _TERMS.quiet,
    keep: timedelta = _TERMS.keep,
    shortens: bool = False,
    evidence: Mapping[str, Any] | None = None,
) -> Change:
    """Begin to retire a model: it goes on answering for a while, its challenger leaves, and nothing new comes in.

    A model that is on its way out, or out, stays so. To one that a release retired which kept no such thing, the time
    to undo it is given from now on.

    :param drain: how long it answers at most.
    :param quiet: nobody having asked for so long ends that before.
    :param keep: how long the retirement can be undone once the model is out.
    :param shortens: whether a drain that is under way ends when this one would, if that is sooner.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        now = connection.execute(select(func.clock_timestamp())).scalar_one()
        if locked.retired and locked.retirement is None:
            return replace(_unchanged(locked), retirement=_left(connection, model, None, now, keep))
        if locked.retirement is not None:
            if shortens and locked.retirement.is_draining and now + drain < locked.retirement.until:
                return _shorten(connection, locked, now + drain, actor, reason, evidence)
            return _unchanged(locked)
        _write(connection, model, began=now, until=now + drain, quiet=quiet, keep=keep)
        gone = locked.challenger
        also = {} if gone is None else {"withdrawn": {"version": gone.version, **withdrawal.left(locked)}}
        words = "" if gone is None else f" (challenger version {gone.version} leaves with it)"
        entry = ledger.record(
            connection, locked, action=DRAIN, roles=_without_challenger(locked.roles), from_version=locked.champion,
            to_version=locked.champion, actor=actor, reason=reason + words,
            evidence={**(evidence or {}), "until": (now + drain).isoformat(), **also},
        )  # fmt: skip
        return Change(
            model=model, champion=locked.champion, was=locked.champion, ledger_id=entry.id, changed=True,
            withdrawn=None if gone is None else gone.version, retirement=retirement_in(connection, model),
        )  # fmt: skip


def _shorten(
    connection: Connection,
    locked: Locked,
    until: datetime,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None,
) -> Change:
    """Let a drain that is under way end sooner."""
    connection.execute(retirement.update().where(retirement.c.model == locked.model).values(until=until))
    entry = ledger.record(
        connection, locked, action=DRAIN, roles=locked.roles, from_version=locked.champion,
        to_version=locked.champion, actor=actor, reason=reason,
        evidence={**(evidence or {}), "until": until.isoformat()},
    )  # fmt: skip
    return Change(
        model=locked.model, champion=locked.champion, was=locked.champion, ledger_id=entry.id, changed=True,
        retirement=retirement_in(connection, locked.model),
    )  # fmt: skip


def retire(
    settings: Settings,
    model: str,
    *,
    actor: str,
    reason: str,
    began: datetime | None = None,
    keep: timedelta = _TERMS.keep,
    evidence: Mapping[str, Any] | None = None,
) -> Change:
    """Take the model out of production: no champion, no previous; versions and history stay.

    :param began: only if this very retirement is still under way (its ``began_at``); None: whatever is, at once. A
        retirement that was undone meanwhile changes nothing.
    :param keep: how long it can be undone, if the model did not drain before.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        under_way = locked.retirement
        if locked.retired or (began is not None and (under_way is None or under_way.began_at != began)):
            return _unchanged(locked)
        for version in set(locked.roles.values()):
            versions.set_status(connection, model, version, "retired")
        gone = locked.challenger
        also: dict[str, Any] = {}
        if gone is not None:
            also["withdrawn"] = {"version": gone.version, **withdrawal.left(locked)}
        if under_way is not None and not under_way.is_draining:  # only what was forced upon the retired model leaves
            also[_AGAIN] = True
        entry = ledger.record(
            connection, locked, action=RETIRE, roles={}, from_version=locked.champion, to_version=None, actor=actor,
            reason=reason + withdrawal.beside_words(locked, None), evidence={**(evidence or {}), **also}, retired=True,
        )  # fmt: skip
        return Change(
            model=model, champion=None, was=locked.champion, ledger_id=entry.id, changed=True,
            withdrawn=None if gone is None else gone.version,
            retirement=_left(connection, model, under_way, entry.at, keep),
        )  # fmt: skip


def _left(
    connection: Connection, model: str, under_way: Retirement | None, at: datetime, keep: timedelta
) -> Retirement | None:
    """Note that the model is out, and until when that can be undone; an earlier promise of that is kept."""
    if under_way is None:
        _write(connection, model, began=at, until=at, quiet=timedelta(0), keep=keep)
    if under_way is None or under_way.is_draining:
        kept = keep if under_way is None else under_way.keep
        connection.execute(retirement.update().where(retirement.c.model == model).values(restorable_until=at + kept))
    return retirement_in(connection, model)


def restore(
    settings: Settings, model: str, *, actor: str, reason: str, evidence: Mapping[str, Any] | None = None
) -> Change:
    """Undo a retirement: a model that still answers stays, one that is out is in production again as it was.

    A version that was barred meanwhile does not come back: without the former champion there is nothing to restore.

    :raises NothingRetired: the model is neither on its way out nor out.
    :raises RestoredTooLate: it is out for too long.
    :raises VersionBarred: the former champion is barred.
    :raises LockUnavailable: what is being freed takes too long.
    :raises DatabaseAway: the database cannot be reached.
    """
    # What is being freed at this moment is freed to the end first: nothing goes from under a model in production.
    freeing = advisory_lock(settings.database_url, LOCK, model, wait_seconds=_WAIT_SECONDS)
    with freeing, database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        under_way = locked.retirement
        if under_way is not None and under_way.is_draining:
            roles, why = locked.roles, {"undone": "before the model was out"}
        elif locked.retired:
            _check_in_time(connection, model, under_way)
            roles, why = _as_before(connection, model), {"undone": "after the model was out"}
        else:
            raise NothingRetired(model)
        connection.execute(retirement.delete().where(retirement.c.model == model))
        entry = ledger.record(
            connection, locked, action=RESTORE, roles=roles, from_version=locked.champion,
            to_version=roles.get("champion"), actor=actor, reason=reason, evidence={**(evidence or {}), **why},
        )  # fmt: skip
        return Change(
            model=model, champion=roles.get("champion"), was=locked.champion, ledger_id=entry.id, changed=True
        )


def _check_in_time(connection: Connection, model: str, under_way: Retirement | None) -> None:
    if under_way is None or under_way.restorable_until is None:  # retired by a release that promised no end
        return
    is_late = connection.execute(select(func.clock_timestamp() > under_way.restorable_until)).scalar_one()
    if is_late or under_way.freeing_at is not None:
        raise RestoredTooLate(model, under_way.restorable_until, under_way.archive)


def _as_before(connection: Connection, model: str) -> dict[str, int]:
    """The roles as they were when the model left, its versions registered again."""
    before = state_before_retirement(connection, model)
    for version in set(before.values()):
        found = versions.read_version(connection, model, version)
        if found.status == "barred" and version == before.get("champion"):
            raise VersionBarred(model, version)
        if found.status == "retired":
            versions.set_status(connection, model, version, "registered")
    return {
        role: version
        for role, version in _without_challenger(before).items()
        if versions.read_version(connection, model, version).status != "barred"
    }


def state_before_retirement(connection: Connection, model: str) -> dict[str, int]:
    """Version by role just before the model's newest retirement; empty if it was never retired."""
    rows = deployment_ledger.c
    first = rows.evidence[_AGAIN].astext.is_(None)
    left = select(func.max(rows.revision)).where(rows.model == model, rows.action == RETIRE, first).scalar_subquery()
    query = select(rows.state).where(rows.model == model, rows.revision < left).order_by(rows.revision.desc()).limit(1)
    return dict(connection.execute(query).scalar_one_or_none() or {})


def read_retirement(settings: Settings, model: str) -> Retirement | None:
    """How far a model's retirement has come; None if there is none, or it was by a release before there was this.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return retirement_in(connection, model)


def newest_entry(settings: Settings, model: str) -> LedgerEntry | None:
    """The newest entry of the ledger that is about a retirement.

    :raises DatabaseAway: the database cannot be reached.
    """
    about = (entry for entry in reversed(ledger.history(settings, model)) if entry.action in {DRAIN, RETIRE, RESTORE})
    return next(about, None)


def _write(
    connection: Connection, model: str, *, began: datetime, until: datetime, quiet: timedelta, keep: timedelta
) -> None:
    connection.execute(retirement.delete().where(retirement.c.model == model))
    connection.execute(
        retirement.insert().values(
            model=model, began_at=began, until=until, quiet_seconds=quiet.total_seconds(),
            keep_seconds=keep.total_seconds(),
        )
    )  # fmt: skip


def _without_challenger(roles: Mapping[str, int]) -> dict[str, int]:
    return {role: version for role, version in roles.items() if role not in CHALLENGER_ROLES}


def _unchanged(locked: Locked) -> Change:
    return Change(
        model=locked.model, champion=locked.champion, was=locked.champion, ledger_id=None, changed=False,
        retirement=locked.retirement,
    )  # fmt: skip
