"""What there is to tell of a model, gathered from the registry: whoever asks, and however often, it is the same news.

The registry is asked instead of trusting that somebody reports: a server that rolls back while Airflow is down, a task
that is killed before its callback, a command at a shell are all found here, by the next one who asks.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, text

from include.alerts import checks, deployments
from include.alerts.alert import Alert, Places
from include.registry import database
from include.registry.tables import alert
from include.settings import Settings
from include.spec.alerts import Alerts

HORIZON: Final = timedelta(days=3)
"""Older news is not told any more: over a weekend without Airflow nothing is lost."""

_REFUSED: Final = text(
    """
    SELECT DISTINCT stage FROM check_result
    WHERE model = :model AND kind IN ('gate', 'partitions') AND verdict IN ('refused', 'partly', 'missing')
      AND at >= :since
    """
)


def find_news(settings: Settings, model: str, rules: Alerts, places: Places, *, run: str | None = None) -> list[Alert]:
    """All news of the last :data:`HORIZON`; most of it has been told already, which the outbox knows.

    :param run: the run that asks, ``<dag id>/<run id>``.
    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return [
            *checks.news(connection, model, places, within=HORIZON, run=run),
            *deployments.news(connection, model, places, within=HORIZON, approval_after=rules.approval_after),
        ]


def is_explained(settings: Settings, model: str, *, family: str, run: str, since: datetime | None) -> bool:
    """Whether the failure of a run is told already by other news: a gate's refusal, a missing partition, a rollback.

    :param since: start of the run.
    :raises DatabaseAway: the database cannot be reached.
    """
    told = select(func.count()).where(alert.c.model == model, alert.c.run == run, alert.c.event != "task_failed")
    with database.transaction(settings.database_url) as connection:
        if connection.execute(told).scalar_one():
            return True
        if since is None:
            return False
        stages = connection.execute(_REFUSED, {"model": model, "since": since}).scalars()
        return family in {checks.family_of(stage) for stage in stages}
