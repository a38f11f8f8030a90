"""What is in production, and the only ways to change it: each one transaction of state, ledger and outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from include.registry import database, ledger, versions, withdrawal
from include.registry.deployed import DeployedVersion, ModelState, challenger, champion, read_states
from include.registry.ledger import LedgerEntry, Locked, StateAt, history, state_at
from include.registry.refusals import NothingToRollBackTo, VersionBarred, VersionFreed
from include.registry.roles import CHALLENGER_ROLES
from include.registry.rules import ANY, AnyChampion, check_entry
from include.registry.tables import deployment_ledger
from include.settings import Settings

__all__ = [
    "ANY",
    "DeployedVersion",
    "LedgerEntry",
    "ModelState",
    "StateAt",
    "Switch",
    "challenger",
    "champion",
    "history",
    "read_states",
    "roll_back",
    "state_at",
    "switch_champion",
]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Outcome of a change of the champion.

    :param version: the champion after it; None if there is none.
    :param previous: the version in the role ``previous`` after it.
    :param replaced: the champion before it.
    :param withdrawn: the challenger that the change took out, since what it was compared with is gone.
    :param ledger_id: the ledger row that says why (of this change, or of the newest if nothing changed).
    :param changed: False if everything was so already, and nothing was written.
    :param barred: a version without a role that was only barred.
    """

    model: str
    version: int | None
    previous: int | None
    replaced: int | None
    ledger_id: int | None
    revision: int
    changed: bool
    withdrawn: int | None = None
    barred: int | None = None


def switch_champion(
    settings: Settings,
    model: str,
    version: int,
    *,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    force: bool = False,
    expected_champion: int | AnyChampion | None = ANY,
) -> Switch:
    """Put a version into production at once; the champion until now becomes ``previous``.

    A version that is champion already changes nothing and writes nothing. A challenger under way is taken out, not
    barred: what it was compared with is champion no more. (A deployment in stages: :mod:`include.registry.stages`.)

    :param force: also replace a champion with a newer as-of, and bring a retired model back. A bar is never forced.
    :param expected_champion: refuse if the champion is another one.
    :raises VersionUnknown: there is no such version.
    :raises VersionBarred: the version is barred.
    :raises OlderThanChampion: the champion knows newer data.
    :raises ModelRetired: the model is out of production.
    :raises StateChanged: the champion is not the expected one.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        wanted = versions.read_version(connection, model, version)
        if locked.champion == version:
            return _unchanged(connection, locked)
        check_entry(connection, locked, wanted, force=force, expected=expected_champion)
        versions.set_status(connection, model, version, "registered")
        roles = {**locked.roles, "champion": version}
        if locked.champion is not None:
            roles["previous"] = locked.champion
        elif roles.get("previous") == version:
            del roles["previous"]
        return _change(
            connection, locked, roles, action="promote", actor=actor, reason=reason,
            evidence={**(evidence or {}), **({"forced": True} if force else {})},
        )  # fmt: skip


def roll_back(
    settings: Settings,
    model: str,
    to_version: int | None = None,
    *,
    actor: str,
    reason: str,
    bar: bool = True,
    evidence: Mapping[str, Any] | None = None,
    version: int | None = None,
    request: str | None = None,
) -> Switch:
    """Take the champion out of production and bar it; the previous version, or a named one, is champion again.

    A challenger under way is taken out too, not barred: what it was compared with is gone. The ledger says so.

    With ``version`` named, calling it again does nothing more; a challenger is taken out and the champion stays; a
    version that is neither (any more) is only barred. With ``request`` named, the same request is carried out once.

    :param to_version: the version to go back to, instead of the previous one.
    :param bar: whether the version that is rolled back is barred until a person lifts it.
    :param version: the version to take out; without a previous one the model is then left with no champion.
    :param request: name of the request, such as an Airflow run's id.
    :raises NothingToRollBackTo: neither a version to go back to nor one to take out is named, and none is kept.
    :raises VersionBarred: the version to go back to is barred.
    :raises VersionFreed: its artifact is gone.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        out = locked.champion if version is None else version
        if _already(connection, locked, out, to_version, request):
            return _unchanged(connection, locked)
        kept = {"barred": out if bar else None, **({"request": request} if request else {})}
        if version is not None and locked.challenger is not None and locked.challenger.version == version:
            both = {**(evidence or {}), **kept}
            return _challenger_out(connection, locked, bar=bar, actor=actor, reason=reason, evidence=both)
        if version is not None and version != locked.champion:
            return _only_bar(connection, locked, version, bar=bar, actor=actor, reason=reason)
        target = locked.previous if to_version is None else to_version
        if target is None and version is None:
            held = locked.challenger
            raise NothingToRollBackTo(model, locked.champion, None if held is None else held.version)
        if target is not None:
            wanted = versions.read_version(connection, model, target)
            if wanted.status == "barred":
                raise VersionBarred(model, target)
            if wanted.freed_at is not None:
                raise VersionFreed(model, target, wanted.freed_at)
            versions.set_status(connection, model, target, "registered")
        if bar and out is not None:
            versions.set_status(connection, model, out, "barred")
        roles = {role: held for role, held in locked.roles.items() if held not in {out, target}}
        if target is not None:
            roles["champion"] = target
        return _change(
            connection, locked, roles, action="rollback", actor=actor, reason=reason,
            evidence={**(evidence or {}), **kept},
        )  # fmt: skip


def _challenger_out(
    connection: Connection, locked: Locked, *, bar: bool, actor: str, reason: str, evidence: Mapping[str, Any]
) -> Switch:
    """The challenger goes, the champion stays."""
    entry = withdrawal.take_out(connection, locked, bar=bar, actor=actor, reason=reason, evidence=evidence)
    return Switch(
        model=locked.model, version=locked.champion, previous=entry.state.get("previous"), replaced=locked.champion,
        ledger_id=entry.id, revision=entry.revision, changed=True, withdrawn=entry.from_version,
    )  # fmt: skip


def _already(
    connection: Connection, locked: Locked, out: int | None, to_version: int | None, request: str | None
) -> bool:
    """Whether an earlier call has done this rollback."""
    if to_version is not None and locked.champion == to_version:
        return True
    if request is not None:
        rows = select(deployment_ledger.c.id).where(
            deployment_ledger.c.model == locked.model,
            deployment_ledger.c.action == "rollback",
            deployment_ledger.c.evidence["request"].astext == request,
        )
        if connection.execute(rows).first() is not None:
            return True
    if out is None or out == locked.champion:
        return False
    return versions.read_version(connection, locked.model, out).status == "barred"


def _only_bar(connection: Connection, locked: Locked, version: int, *, bar: bool, actor: str, reason: str) -> Switch:
    versions.read_version(connection, locked.model, version)
    if bar:
        versions.bar_locked(connection, locked, version, actor=actor, reason=reason)
    return replace(_unchanged(connection, ledger.lock(connection, locked.model)), barred=version if bar else None)


def _change(
    connection: Connection,
    locked: Locked,
    roles: Mapping[str, int],
    *,
    action: str,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None,
) -> Switch:
    remaining = {role: version for role, version in roles.items() if role not in CHALLENGER_ROLES}
    champion_now = remaining.get("champion")
    withdrawn = withdrawal.beside(locked, champion_now)
    also = {} if withdrawn is None else {"withdrawn": {"version": withdrawn, **withdrawal.left(locked)}}
    entry = ledger.record(
        connection, locked, action=action, roles=remaining, from_version=locked.champion, to_version=champion_now,
        actor=actor, reason=reason + withdrawal.beside_words(locked, champion_now),
        evidence={**(evidence or {}), **also},
    )  # fmt: skip
    return Switch(
        model=locked.model, version=champion_now, previous=remaining.get("previous"), replaced=locked.champion,
        ledger_id=entry.id, revision=entry.revision, changed=True, withdrawn=withdrawn,
    )  # fmt: skip


def _unchanged(connection: Connection, locked: Locked) -> Switch:
    newest = select(deployment_ledger.c.id).where(
        deployment_ledger.c.model == locked.model, deployment_ledger.c.revision == locked.revision
    )
    return Switch(
        model=locked.model,
        version=locked.champion,
        previous=locked.previous,
        replaced=locked.champion,
        ledger_id=connection.execute(newest).scalar_one_or_none(),
        revision=locked.revision,
        changed=False,
    )
