"""Notifiers for the tasks of a model's DAGs: at a step with news, and when a task has failed for good.

They never fail a task: whatever goes wrong is logged, and the DAG ``noria_alerts`` finds the news in the registry. Only
a failed task is known to nobody else: Airflow calls from the dag-processor when a worker was killed, and while the
database is away the alert is sent at once, without the outbox and so without its promises.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.log import redact  # type: ignore[attr-defined]

from include.errors import TryAgain
from plugins.notifiers.telling import gather, places_of, send, send_unkept
from plugins.operators.environment import project_settings
from plugins.operators.run_facts import request_of
from plugins.sensors.missing import PartitionMissing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.alerts.alert import Alert
    from include.settings import Settings


class NewsNotifier(BaseNotifier):
    """
    Tells what a task that ended well has brought about: drift, a promotion, a rollback, a lost retraining.

    :param model: Name of the model.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model

    def notify(self, context: Context) -> None:
        """Gather the news and send what is quick to send; never raises."""
        try:
            settings = project_settings()
            self._gather(settings, context)
            send(settings)
        except Exception as problem:  # noqa: BLE001 - a task must not suffer from whoever should hear of it
            self.log.warning("alerts of %s are left to the DAG noria_alerts: %s", self.model, redact(str(problem)))

    def _gather(self, settings: Settings, context: Context) -> None:
        gather(settings, self.model, run=request_of(context))


class FailureNotifier(NewsNotifier):
    """
    Tells that a task has failed for good, unless other news says why: a gate's refusal, a rollback.

    :param model: Name of the model.
    """

    def _gather(self, settings: Settings, context: Context) -> None:
        try:
            self._write(settings, context)
        except TryAgain:
            send_unkept(settings, _failed(self.model, settings, context))
            raise

    def _write(self, settings: Settings, context: Context) -> None:
        from include.alerts.news import is_explained

        run = context["dag_run"]
        request = request_of(context)
        missing = _missing(self.model, settings, context)
        gather(settings, self.model, run=request, also=[missing] if missing else [])
        family = run.dag_id.removeprefix(f"{self.model}.")
        if missing or is_explained(settings, self.model, family=family, run=request, since=run.start_date):
            return
        gather(settings, self.model, run=request, also=[_failed(self.model, settings, context)])


def _missing(model: str, settings: Settings, context: Context) -> Alert | None:
    """The alert on a partition that a sensor has waited for in vain."""
    from include.alerts.runs import missed_partition

    problem = context.get("exception")
    if not isinstance(problem, PartitionMissing):
        return None
    places, run = places_of(settings), request_of(context)
    return missed_partition(model, places, key=problem.key, reason=_words(problem), at=datetime.now(UTC), run=run)


def _failed(model: str, settings: Settings, context: Context) -> Alert:
    from include.alerts.runs import failed_task

    return failed_task(
        model,
        places_of(settings),
        run=request_of(context),
        task=str(context["ti"].task_id),
        reason=_words(context.get("exception")),
        at=datetime.now(UTC),
    )


def _words(problem: Any) -> str:
    """What an exception says, without the secrets that Airflow knows."""
    return str(redact(str(problem))) if problem else ""
