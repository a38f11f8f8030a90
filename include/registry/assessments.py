"""What was judged of a challenger while it was under way: one row for each judgement that said something new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, func, select

from include.registry import database
from include.registry.tables import assessment
from include.settings import Settings

Verdict = Literal["wait", "advance", "rollback"]

#: How long judgements that only say "wait" are kept.
_KEPT: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """One judgement of a challenger in a stage of its deployment.

    :param verdict: ``wait`` for more evidence, ``advance`` to the next stage, ``rollback``: it was taken out.
    :param evidence: the checks with their numbers, JSON.
    """

    id: int
    model: str
    version: int
    deployment: str
    stage: str
    at: datetime
    verdict: Verdict
    reason: str
    evidence: dict[str, Any]


def record_if_news(
    settings: Settings,
    model: str,
    *,
    version: int,
    deployment: str,
    stage: str,
    verdict: Verdict,
    reason: str,
    evidence: Mapping[str, Any],
    since: datetime,
    every: timedelta,
) -> bool:
    """Keep a judgement if its verdict is another than the stage's newest, or that one is old; says whether it was kept.

    Any number of processes may do so at once: they take turns. Old rows of the model that only said "wait" are dropped.

    :param evidence: JSON; NaN and infinity are not JSON and must be None or text.
    :param since: judgements before this instant are of an earlier visit to the stage.
    :param every: age from which the newest is old.
    :raises DatabaseAway: the database cannot be reached.
    """
    newest = (
        select(assessment.c.verdict)
        .where(
            assessment.c.model == model,
            assessment.c.deployment == deployment,
            assessment.c.stage == stage,
            assessment.c.at >= since,
            assessment.c.at > func.clock_timestamp() - every,
        )
        .order_by(assessment.c.id.desc())
        .limit(1)
    )
    with database.transaction(settings.database_url) as connection:
        database.lock_until_commit(connection, "assessment", model)
        if connection.execute(newest).scalar_one_or_none() == verdict:
            return False
        _insert(connection, model, version, deployment, stage, verdict, reason, evidence)
        connection.execute(
            assessment.delete().where(
                assessment.c.model == model,
                assessment.c.verdict == "wait",
                assessment.c.at < func.clock_timestamp() - _KEPT,
            )
        )
        return True


def _insert(
    connection: Connection,
    model: str,
    version: int,
    deployment: str,
    stage: str,
    verdict: Verdict,
    reason: str,
    evidence: Mapping[str, Any],
) -> int:
    row = assessment.insert().values(
        model=model, version=version, deployment=deployment, stage=stage,
        verdict=verdict, reason=reason, evidence=dict(evidence),
    )  # fmt: skip
    return int(connection.execute(row.returning(assessment.c.id)).scalar_one())


def newest_assessment(
    settings: Settings, model: str, *, deployment: str, stage: str | None = None
) -> Assessment | None:
    """The newest judgement of a deployment in a stage, or None if there is none yet.

    :param stage: None: in whatever stage.
    :raises DatabaseAway: the database cannot be reached.
    """
    query = select(assessment).where(assessment.c.model == model, assessment.c.deployment == deployment)
    if stage is not None:
        query = query.where(assessment.c.stage == stage)
    with database.transaction(settings.database_url) as connection:
        row = connection.execute(query.order_by(assessment.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Assessment(**row._mapping)
