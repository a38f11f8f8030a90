"""The operator of the DAG ``noria_alerts``: it brings along what callbacks could not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include.errors import NoriaError, TryAgain
from include.settings import Settings
from include.spec.loader import list_definitions
from plugins.notifiers.telling import gather, send
from plugins.operators.environment import project_settings

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeliverAlertsOperator(BaseOperator):
    """
    Gathers the news of all models and delivers what is due.

    :param seconds: How long it goes on with sending at most.
    """

    def __init__(self, *, seconds: float = 60.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - Airflow's own signature
        """Return how many deliveries were sent, failed (they are tried again) and expired."""
        settings = project_settings()
        for model in list_definitions(settings):
            self._gather(settings, model)
        done = send(settings, self.seconds)
        return {"sent": done.sent, "failed": done.failed, "expired": done.expired}

    def _gather(self, settings: Settings, model: str) -> None:
        try:
            gather(settings, model)
        except TryAgain:
            raise
        except NoriaError as problem:  # a broken definition is its own import error, and no other model's trouble
            self.log.warning("%s", problem)
