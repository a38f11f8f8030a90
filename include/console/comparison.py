"""How a version did beside the champion of its day on the same rows: what a person wants to see before answering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text

from include.registry import database
from include.settings import Settings

_NEWEST: Final = """
    SELECT coalesce((details -> 'comparison' ->> 'rows')::bigint, 0) AS rows,
           details -> 'comparison' ->> 'status' AS status, left(details -> 'comparison' ->> 'reason', 1000) AS reason,
           (details ->> 'champion_version')::integer AS champion_version, details -> 'challenger' AS challenger,
           details -> 'champion' AS champion, details -> 'improvements' -> 'champion' AS improvements, page
    FROM check_result
    WHERE model = :model AND kind = 'evaluation' AND stage = 'evaluate' AND subject = (
        SELECT fingerprint FROM model_version WHERE model = :model AND version = :version
    )
    ORDER BY at DESC, id DESC LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The newest evaluation of a version.

    :param status: none (there was no champion), fair, part (on some of the rows), unfair, self.
    :param rows: rows that both have answered and neither was trained on.
    :param reason: why it is not, or only in part, a comparison.
    :param improvements: by how much the version is better on these rows, by metric; what is positive is better.
    """

    rows: int
    status: str | None
    reason: str | None
    champion_version: int | None
    challenger: dict[str, Any] | None
    champion: dict[str, Any] | None
    improvements: dict[str, Any] | None
    page: str | None


def comparison_of(settings: Settings, model: str, version: int) -> Comparison | None:
    """The version beside the champion; None if it was never evaluated here.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.reading(settings.database_url) as connection:
        row = connection.execute(text(_NEWEST), {"model": model, "version": version}).one_or_none()
    return None if row is None else Comparison(**row._mapping)
