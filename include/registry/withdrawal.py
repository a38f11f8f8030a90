"""A challenger on its way out: in an entry of its own, or beside the change that took its champion away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from include.registry import ledger, versions
from include.registry.ledger import LedgerEntry, Locked
from include.registry.roles import CHALLENGER_ROLES, WAS_RETIRED


def take_out(
    connection: Connection, locked: Locked, *, bar: bool, actor: str, reason: str, evidence: Mapping[str, Any] | None
) -> LedgerEntry:
    """Take the challenger out, in a transaction that holds the model's lock; the champion stays.

    A model that was retired before it is retired again.

    :param bar: whether the version is barred until a person lifts it.
    :raises ValueError: the model has no challenger.
    """
    held = locked.challenger
    if held is None:
        raise ValueError(f"{locked.model} has no challenger")
    if bar:
        versions.set_status(connection, locked.model, held.version, "barred")
    gone = {held.version} - {locked.champion} if bar else set()
    roles = {
        role: version for role, version in locked.roles.items() if role not in CHALLENGER_ROLES and version not in gone
    }
    return ledger.record(
        connection, locked, action="rollback", roles=roles, from_version=held.version, to_version=locked.champion,
        actor=actor, reason=reason, retired=locked.retired or bool(held.plan.get(WAS_RETIRED)),
        evidence={**(evidence or {}), **left(locked), "barred": held.version if bar else None},
    )  # fmt: skip


def left(locked: Locked) -> dict[str, Any]:
    """Which stage of which deployment the challenger leaves, for the ledger's evidence."""
    held = locked.challenger
    if held is None:
        return {}
    return {
        "stage": held.stage or locked.challenger_role,
        "deployment": held.deployment,
        "role": locked.challenger_role,
        "share": held.share,
    }


def beside(locked: Locked, champion: int | None) -> int | None:
    """The challenger that a change of the champion takes out with it: none, if it is the new champion itself."""
    held = locked.challenger
    return None if held is None or held.version == champion else held.version


def beside_words(locked: Locked, champion: int | None) -> str:
    """What the ledger's reason says of that challenger; empty if there is none."""
    version = beside(locked, champion)
    if version is None:
        return ""
    stage = left(locked)["stage"]
    return f" (challenger version {version} leaves the stage {stage} with it: what it was compared with is gone)"
