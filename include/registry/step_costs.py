"""What the steps of a model cost: seconds of processor time, added up by day and step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from include.registry import database
from include.registry.tables import step_cost
from include.settings import Settings

DAYS: Final = 30
"""The days that are shown beside the sum of all."""

_BY_MODEL: Final = f"""
    SELECT model, coalesce(sum(cpu_seconds) FILTER (WHERE day > current_date - {DAYS}), 0) AS lately,
           sum(cpu_seconds) AS in_all
    FROM step_cost WHERE model = ANY(:models) GROUP BY model
"""  # nosec B608 # made of nothing but the constant above


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Hours of processor time.

    :param lately: within the last :data:`DAYS` days.
    :param in_all: since it is counted.
    """

    lately: float
    in_all: float


def add_cost(settings: Settings, *, model: str, step: str, cpu_seconds: float, tries: int) -> None:
    """Add to what a step of a model has cost today.

    :param tries: how many tries of it begin with this.
    :raises DatabaseAway: the database cannot be reached.
    """
    today = datetime.now(UTC).date()
    new = insert(step_cost).values(model=model, day=today, step=step, tries=tries, cpu_seconds=cpu_seconds)
    sums = {name: step_cost.c[name] + new.excluded[name] for name in ("tries", "cpu_seconds")}
    with database.transaction(settings.database_url) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=["model", "day", "step"], set_=sums))


def costs_of(settings: Settings, models: Collection[str]) -> dict[str, Cost]:
    """What each of these models has cost; one of which nothing is known is left out.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.reading(settings.database_url) as connection:
        return {
            row.model: Cost(lately=row.lately / 3600, in_all=row.in_all / 3600)
            for row in connection.execute(text(_BY_MODEL), {"models": sorted(models)})
        }
