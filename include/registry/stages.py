"""A challenger's way through the stages of its deployment: in, on to champion, or out again.

A model has one challenger at a time, and each change is one transaction under the model's lock: two deployments that
race cannot both have one. Every call can be repeated: what is so already changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from include.registry import database, ledger, versions, withdrawal
from include.registry.deployed import challenger
from include.registry.ledger import Locked
from include.registry.refusals import (
    DeploymentEnded,
    DeploymentUnderWay,
    NoSuchShare,
    NothingToCompareWith,
    StateChanged,
)
from include.registry.roles import CHALLENGER_ROLES, JUDGED_ROLES, WAS_RETIRED, ChallengerRole, Held
from include.registry.rules import ANY, AnyChampion, check_entry
from include.registry.state import Switch
from include.registry.tables import deployment_ledger
from include.settings import Settings

__all__ = ["StageChange", "challenger", "enter_stage", "promote_challenger", "withdraw"]


@dataclass(frozen=True, kw_only=True)
class StageChange:
    """Outcome of a change of the challenger.

    :param role: the role that the version holds after it; None if it holds none.
    :param changed: False if everything was so already, and nothing was written.
    :param ledger_id: the ledger row that says why (of this change, or of the newest if nothing changed).
    :param champion: the champion's version, or None.
    """

    model: str
    version: int
    role: str | None
    changed: bool
    ledger_id: int | None
    revision: int
    champion: int | None


def enter_stage(
    settings: Settings,
    model: str,
    version: int,
    *,
    role: ChallengerRole,
    share: float = 0.0,
    plan: Mapping[str, Any],
    until: datetime | None,
    deployment: str,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    force: bool = False,
    expected_champion: int | AnyChampion | None = ANY,
) -> StageChange:
    """Put a version into a stage, as its model's only challenger; the champion stays.

    The same stage of the same deployment again changes nothing, and the stage's time does not begin again. A version
    that is champion already changes nothing. A challenger of another deployment whose deadline has passed gives way.

    :param share: part of the entities that it answers: over 0 for canary and ab, else 0.
    :param plan: what the stage asks for, as :func:`include.registry.plans.plan_for` makes it; its ``champion`` is the
        version that the deployment compares with.
    :param until: deadline of the stage, with time zone.
    :param deployment: the deployment's name, such as the Airflow run's id. One that was taken out can only begin again,
        as ``candidate``.
    :param force: also against a champion with a newer as-of, and for a retired model. A bar is never forced.
    :raises VersionUnknown: there is no such version.
    :raises VersionBarred: the version is barred.
    :raises StateChanged: the champion is not the expected one, or not the one that the deployment began with.
    :raises ModelRetired: the model is out of production.
    :raises OlderThanChampion: the champion knows newer data.
    :raises DeploymentUnderWay: another deployment has a challenger.
    :raises DeploymentEnded: the deployment's challenger was taken out.
    :raises NothingToCompareWith: there is no champion, and the role is not ``candidate``.
    :raises NoSuchShare: the share does not fit the role.
    :raises DatabaseAway: the database cannot be reached.
    """
    if (role in {"canary", "ab"}) != (0 < share <= 1):
        raise NoSuchShare(role, share)
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        wanted = versions.read_version(connection, model, version)
        if locked.champion == version:
            return _unchanged(connection, locked, version)
        check_entry(connection, locked, wanted, force=force, expected=expected_champion)
        if _is_there(locked, version, role, share, plan, deployment):
            return _unchanged(connection, locked, version)
        _check_stage(connection, locked, version, role, plan, deployment)
        kept = {"stage": plan.get("stage", role), "deployment": deployment, **_replaced(locked, version)}
        # The server answers for the candidate of a retired model too; if it goes out again, the model is what it was.
        came_from = {WAS_RETIRED: True} if locked.retired else {}
        held = Held(version=version, share=share, plan={**plan, **came_from}, until=until, deployment=deployment)
        versions.set_status(connection, model, version, "registered")
        return _change(
            connection, locked, role, held, actor=actor, reason=reason,
            evidence={**(evidence or {}), **kept, **({"forced": True} if force else {})},
        )  # fmt: skip


def _is_there(locked: Locked, version: int, role: str, share: float, plan: Mapping[str, Any], deployment: str) -> bool:
    held = locked.challenger
    return (
        held is not None
        and locked.challenger_role == role
        and (held.version, held.deployment, held.share) == (version, deployment, share)
        and held.stage == plan.get("stage", held.stage)
    )


def _check_stage(
    connection: Connection, locked: Locked, version: int, role: str, plan: Mapping[str, Any], deployment: str
) -> None:
    model, held = locked.model, locked.challenger
    if locked.champion is None and role in JUDGED_ROLES:
        raise NothingToCompareWith(model, version, role)
    for began_with in (plan, held.plan if held is not None and held.deployment == deployment else {}):
        if "champion" in began_with and began_with["champion"] != locked.champion:
            raise StateChanged(model, began_with["champion"], locked.champion)
    mine = held is not None and (held.version, held.deployment) == (version, deployment)
    if held is not None and not mine and not _is_over(connection, held):
        raise DeploymentUnderWay(
            model, version, other=held.version, deployment=held.deployment, stage=held.stage, until=held.until
        )
    if not mine and role != "candidate" and _was_there(connection, model, deployment):
        raise _ended(connection, locked, version, deployment)


def _is_over(connection: Connection, held: Held) -> bool:
    """Whether the stage's deadline has passed, by the database's clock."""
    return held.until is not None and bool(connection.execute(select(func.clock_timestamp() > held.until)).scalar_one())


def _was_there(connection: Connection, model: str, deployment: str) -> bool:
    entries = select(deployment_ledger.c.id).where(
        deployment_ledger.c.model == model,
        deployment_ledger.c.action == "stage",
        deployment_ledger.c.evidence["deployment"].astext == deployment,
    )
    return connection.execute(entries.limit(1)).first() is not None


def _ended(connection: Connection, locked: Locked, version: int, deployment: str | None) -> DeploymentEnded:
    newest = (
        select(deployment_ledger.c.reason)
        .where(
            deployment_ledger.c.model == locked.model,
            (deployment_ledger.c.from_version == version) | (deployment_ledger.c.revision == locked.revision),
        )
        .order_by(
            (deployment_ledger.c.from_version == version).desc().nulls_last(), deployment_ledger.c.revision.desc()
        )
        .limit(1)
    )
    now = None if locked.challenger is None else locked.challenger.version
    return DeploymentEnded(locked.model, version, deployment, now, connection.execute(newest).scalar_one_or_none())


def _replaced(locked: Locked, version: int) -> dict[str, Any]:
    """What the ledger says of another deployment's challenger whose time was over."""
    if locked.challenger is None or locked.challenger.version == version:
        return {}
    return {"replaced": {"version": locked.challenger.version, **withdrawal.left(locked)}}


def _change(
    connection: Connection,
    locked: Locked,
    role: str,
    held: Held,
    *,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any],
) -> StageChange:
    kept = {name: version for name, version in locked.roles.items() if name not in CHALLENGER_ROLES}
    entry = ledger.record(
        connection, locked, action="stage", roles={**kept, role: held.version}, entering={role: held},
        from_version=locked.champion, to_version=held.version, actor=actor, reason=reason, evidence=evidence,
    )  # fmt: skip
    return StageChange(
        model=locked.model, version=held.version, role=role, changed=True,
        ledger_id=entry.id, revision=entry.revision, champion=locked.champion,
    )  # fmt: skip


def promote_challenger(
    settings: Settings,
    model: str,
    version: int,
    *,
    deployment: str,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    force: bool = False,
    expected_champion: int | AnyChampion | None = ANY,
) -> Switch:
    """Make the deployment's challenger the champion; the champion until now becomes ``previous``.

    A version that is champion already changes nothing.

    :raises DeploymentEnded: the version is not the challenger of this deployment (any more).
    :raises StateChanged: the champion is not the expected one, or not the one that the deployment began with.
    :raises VersionBarred: the version is barred.
    :raises OlderThanChampion: the champion knows newer data, and ``force`` is not given.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        wanted = versions.read_version(connection, model, version)
        if locked.champion == version:
            return _switch(locked, changed=False, ledger_id=_newest(connection, locked), revision=locked.revision)
        check_entry(connection, locked, wanted, force=force, expected=expected_champion)
        held = locked.challenger
        if held is None or (held.version, held.deployment) != (version, deployment):
            raise _ended(connection, locked, version, deployment)
        if "champion" in held.plan and held.plan["champion"] != locked.champion:
            raise StateChanged(model, held.plan["champion"], locked.champion)
        roles = {"champion": version}
        if locked.champion is not None:
            roles["previous"] = locked.champion
        entry = ledger.record(
            connection, locked, action="promote", roles=roles, from_version=locked.champion, to_version=version,
            actor=actor, reason=reason,
            evidence={**(evidence or {}), **withdrawal.left(locked), **({"forced": True} if force else {})},
        )  # fmt: skip
        return _switch(locked, changed=True, ledger_id=entry.id, revision=entry.revision, roles=roles)


def withdraw(
    settings: Settings,
    model: str,
    version: int,
    *,
    deployment: str | None = None,
    stage: str | None = None,
    actor: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    bar: bool = True,
) -> StageChange:
    """Take the challenger out; the champion stays. A version that is not challenger (any more) changes nothing.

    :param deployment: only if it is this deployment's; None: whatever deployment it belongs to.
    :param stage: only if it is in this stage; None: in whatever stage.
    :param bar: whether the version is barred until a person lifts it.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        held = locked.challenger
        mine = held is not None and held.version == version and deployment in {None, held.deployment}
        if held is None or not mine or stage not in {None, held.stage}:
            return _unchanged(connection, locked, version)
        entry = withdrawal.take_out(connection, locked, bar=bar, actor=actor, reason=reason, evidence=evidence)
        return StageChange(
            model=model, version=version, role=None, changed=True,
            ledger_id=entry.id, revision=entry.revision, champion=locked.champion,
        )  # fmt: skip


def _switch(
    locked: Locked, *, changed: bool, ledger_id: int | None, revision: int, roles: Mapping[str, int] | None = None
) -> Switch:
    after = locked.roles if roles is None else roles
    return Switch(
        model=locked.model, version=after.get("champion"), previous=after.get("previous"), replaced=locked.champion,
        ledger_id=ledger_id, revision=revision, changed=changed,
    )  # fmt: skip


def _newest(connection: Connection, locked: Locked) -> int | None:
    newest = select(deployment_ledger.c.id).where(
        deployment_ledger.c.model == locked.model, deployment_ledger.c.revision == locked.revision
    )
    return connection.execute(newest).scalar_one_or_none()


def _unchanged(connection: Connection, locked: Locked, version: int) -> StageChange:
    role = next((role for role, held in locked.roles.items() if held == version), None)
    return StageChange(
        model=locked.model, version=version, role=role, changed=False,
        ledger_id=_newest(connection, locked), revision=locked.revision, champion=locked.champion,
    )  # fmt: skip
