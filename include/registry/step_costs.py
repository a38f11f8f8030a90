"""What the steps of a model cost: seconds of processor time, added up by day and step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from include.registry import database
from include.registry.tables import step_cost
from include.settings import Settings

DAYS: Final = 30
"""The days that are shown beside the sum of all."""

_HOURS: Final = f"""
    coalesce(sum(cpu_seconds) FILTER (WHERE day > current_date - {DAYS}), 0) / 3600 AS lately,
    sum(cpu_seconds) / 3600 AS in_all
"""
# Both statements are made of nothing but the constants above.
_BY_MODEL: Final = f"SELECT model, {_HOURS} FROM step_cost WHERE model = ANY(:models) GROUP BY model"  # nosec B608
_BY_STEP: Final = f"""
    SELECT step, sum(tries) AS tries, {_HOURS} FROM step_cost WHERE model = :model
    GROUP BY step ORDER BY in_all DESC, step
"""  # nosec B608


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Hours of processor time.

    :param lately: within the last :data:`DAYS` days.
    :param in_all: since it is counted.
    """

    lately: float
    in_all: float


@dataclass(frozen=True, kw_only=True)
class StepCost(Cost):
    """The same of one step of a model.

    :param tries: how many there were.
    """

    step: str
    tries: int


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
            row.model: Cost(lately=row.lately, in_all=row.in_all)
            for row in connection.execute(text(_BY_MODEL), {"models": sorted(models)})
        }


def costs_by_step(connection: Connection, model: str) -> list[StepCost]:
    """What each step of a model has cost, the dearest first."""
    return [StepCost(**row._mapping) for row in connection.execute(text(_BY_STEP), {"model": model})]
