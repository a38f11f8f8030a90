"""Results of checks (gates, drift, verification) as rows: what was judged, how, and where its page is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from include.registry import database
from include.registry.tables import check_result
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One recorded verdict."""

    id: int
    model: str
    kind: str
    stage: str
    as_of: datetime
    subject: str
    verdict: str
    details: dict[str, Any]
    page: str | None
    at: datetime


def record_check(
    settings: Settings,
    *,
    model: str,
    kind: str,
    stage: str,
    as_of: datetime,
    subject: str,
    verdict: str,
    details: Mapping[str, Any],
    page: str | None = None,
) -> int:
    """Keep one verdict and return its row's number.

    :param kind: what judged: ``gate``, ``drift``, ``verify``, …
    :param subject: what was judged: a partition, a training set, a version.
    :param details: JSON; NaN and infinity are not JSON and must be None or text.
    :param page: path of its page relative to the store.
    :raises DatabaseAway: the database cannot be reached.
    """
    values = {"model": model, "kind": kind, "stage": stage, "as_of": as_of, "subject": subject}
    statement = check_result.insert().values(**values, verdict=verdict, details=dict(details), page=page)
    with database.transaction(settings.database_url) as connection:
        return int(connection.execute(statement.returning(check_result.c.id)).scalar_one())


def find_checks(
    settings: Settings, model: str, *, kind: str | None = None, stage: str | None = None, limit: int = 1000
) -> list[CheckResult]:
    """The newest verdicts on a model, newest first.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = select(check_result).where(check_result.c.model == model)
    if kind is not None:
        query = query.where(check_result.c.kind == kind)
    if stage is not None:
        query = query.where(check_result.c.stage == stage)
    with database.transaction(settings.database_url) as connection:
        rows = connection.execute(query.order_by(check_result.c.id.desc()).limit(limit))
        return [CheckResult(**row._mapping) for row in rows]
