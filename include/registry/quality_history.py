"""What labels said of the champions' answers over time, and what was estimated of them: of all models in one query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from include.registry import database
from include.settings import Settings

_QUERY: Final = """
    SELECT c.model, c.as_of, c.stage AS source, c.verdict, c.page,
           (c.details ->> 'champion_version')::integer AS champion_version, (c.details ->> 'labels')::bigint AS labels,
           (c.details ->> 'answered')::bigint AS answered, m.name, m.decayed,
           (m.before ->> 'value')::double precision AS before, (m.now ->> 'value')::double precision AS truth,
           (m.now ->> 'low')::double precision AS truth_low, (m.now ->> 'high')::double precision AS truth_high,
           e.value AS estimate, e.low AS estimate_low, e.high AS estimate_high
    FROM (
        SELECT DISTINCT ON (model, as_of, stage) * FROM check_result
        WHERE kind = 'decay' AND as_of >= :since AND as_of < :until AND (:every_model OR model = ANY(:models))
        ORDER BY model, as_of, stage, id DESC
    ) AS c
    CROSS JOIN LATERAL jsonb_to_recordset(c.details -> 'changes') AS m(
        name text, decayed boolean, before jsonb, now jsonb
    )
    LEFT JOIN LATERAL jsonb_to_recordset(coalesce(c.details -> 'estimates', '[]'::jsonb)) AS e(
        name text, value double precision, low double precision, high double precision
    ) ON e.name = m.name
    ORDER BY c.model, c.as_of, c.stage, m.name
"""


@dataclass(frozen=True, kw_only=True)
class CheckedQuality:
    """One metric in one check of one source of labels.

    :param source: "data" or "requests".
    :param verdict: of the check.
    :param labels: how many answers had a label, of ``answered``.
    :param decayed: None if that could not be told.
    :param before: on the holdout part.
    :param truth: by the labels, with its interval; None where undefined.
    :param estimate: of the same answers without their labels, with its interval; None if there is none.
    """

    model: str
    as_of: datetime
    source: str
    verdict: str
    page: str | None
    champion_version: int
    labels: int
    answered: int
    name: str
    decayed: bool | None
    before: float | None
    truth: float | None
    truth_low: float | None
    truth_high: float | None
    estimate: float | None
    estimate_low: float | None
    estimate_high: float | None


def quality_history(
    settings: Settings, *, since: datetime, until: datetime, models: Collection[str] | None = None
) -> list[CheckedQuality]:
    """Each watched metric of each check as of ``since <= as_of < until``, by model, time, source and name.

    Of checks that were made again the last one counts; those without labels enough have no metric.

    :param models: only these (None: all).
    :raises DatabaseAway: the database cannot be reached.
    """
    values = {"since": since, "until": until, "every_model": models is None, "models": list(models or ())}
    with database.transaction(settings.database_url) as connection:
        return [CheckedQuality(**row._mapping) for row in connection.execute(text(_QUERY), values)]
