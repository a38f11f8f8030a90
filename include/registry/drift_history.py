"""What the drift checks found over time, feature by feature: of however many models and days, in one query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from include.registry import database
from include.settings import Settings

_QUERY: Final = """
    SELECT c.model, c.as_of, c.verdict, c.page, (c.details ->> 'champion_version')::integer AS champion_version,
           (c.details -> 'window' ->> 'rows')::bigint AS rows, f.name, f.drifted, f.what, f.size, f.limit, f.p, f.psi
    FROM (
        SELECT DISTINCT ON (model, as_of) * FROM check_result
        WHERE kind = :kind AND as_of >= :since AND as_of < :until AND (:every_model OR model = ANY(:models))
        ORDER BY model, as_of, id DESC
    ) AS c
    CROSS JOIN LATERAL jsonb_to_recordset(c.details -> 'features') AS f(
        name text, drifted boolean, what text, size double precision, "limit" double precision, p double precision,
        psi double precision
    )
    ORDER BY c.model, c.as_of, f.name
"""


@dataclass(frozen=True, kw_only=True)
class CheckedFeature:
    """One feature in one check.

    :param verdict: of the check.
    :param drifted: None if there were too few rows to tell.
    :param what: "values" or "missing"; with ``size``, ``limit`` and ``p`` None if nothing could be tested.
    """

    model: str
    as_of: datetime
    verdict: str
    page: str | None
    champion_version: int
    rows: int
    name: str
    drifted: bool | None
    what: str | None
    size: float | None
    limit: float | None
    p: float | None
    psi: float | None


def drift_history(
    settings: Settings,
    *,
    since: datetime,
    until: datetime,
    models: Collection[str] | None = None,
    kind: str = "drift",
) -> list[CheckedFeature]:
    """Each feature of each check as of ``since <= as_of < until``, by model, time and name.

    Of checks that were made again the last one counts.

    :param models: only these (None: all).
    :param kind: of check.
    :raises DatabaseAway: the database cannot be reached.
    """
    values = {"kind": kind, "since": since, "until": until, "every_model": models is None, "models": list(models or ())}
    with database.transaction(settings.database_url) as connection:
        return [CheckedFeature(**row._mapping) for row in connection.execute(text(_QUERY), values)]
