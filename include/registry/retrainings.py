"""What started a retraining, in the ledger: nothing in production changes by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select

from include.registry import database, ledger
from include.registry.tables import deployment_ledger
from include.settings import Settings

ACTION: Final = "retrain"


def record_retraining(
    settings: Settings, model: str, start_id: str, *, actor: str, reason: str, evidence: Mapping[str, Any]
) -> bool:
    """Write that a retraining is started, once for each name of a start; returns whether it was written now.

    :param start_id: name of the start (:mod:`include.monitoring.retraining`); it goes into the evidence.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        known = select(deployment_ledger.c.id).where(
            deployment_ledger.c.model == model,
            deployment_ledger.c.action == ACTION,
            deployment_ledger.c.evidence["start_id"].astext == start_id,
        )
        if connection.execute(known).first() is not None:
            return False
        ledger.record(
            connection, locked, action=ACTION, roles=locked.roles, from_version=locked.champion,
            to_version=locked.champion, actor=actor, reason=reason,
            evidence={**evidence, "start_id": start_id}, retired=locked.retired,
        )  # fmt: skip
        return True
