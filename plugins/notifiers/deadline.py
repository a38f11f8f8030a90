"""The notifier of the data DAG's deadline: a run that should have ended by now has not published its partition.

Airflow calls it in the triggerer, which every installation has, and not in an executor, of which only some can.
It is given the run as JSON and no task context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.log import redact  # type: ignore[attr-defined]

from include.spec.duration import format_duration
from include.spec.partitions import PartitionCalendar
from plugins.definitions import arrangement_of
from plugins.notifiers.telling import gather, places_of, send
from plugins.operators.as_of import run_as_of
from plugins.operators.environment import project_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.alerts.alert import Alert
    from include.settings import Settings

_ENDED = frozenset({"success", "failed"})
_BY_PEOPLE = frozenset({"manual", "backfill"})


class MissedPartitionNotifier(BaseNotifier):
    """
    Tells that a data run has passed its deadline.

    :param model: Name of the model.
    :param context: What Airflow says of the run: ``dag_run`` and ``deadline``.
    """

    def __init__(self, model: str, context: Context | None = None) -> None:
        super().__init__(context)
        self.model = model

    async def async_notify(self, context: Context) -> None:
        """As in the triggerer, whose loop must not wait."""
        await asyncio.to_thread(self.notify, context)

    def notify(self, context: Context) -> None:
        """Write the alert and send it; never raises."""
        run: Mapping[str, Any] = dict(context).get("dag_run") or {}  # type: ignore[assignment]
        if run.get("state") in _ENDED:
            return  # late, but there; or failed, which has been told
        if run.get("run_type") in _BY_PEOPLE:
            return  # of the past, perhaps a year of it at once, whose runs wait for each other
        try:
            settings = project_settings()
            gather(settings, self.model, also=[missed(settings, self.model, run)])
            send(settings)
        except Exception as problem:  # noqa: BLE001 - the triggerer has other things to do
            self.log.warning("the missed deadline of %s is not told: %s", self.model, redact(str(problem)))


def missed(settings: Settings, model: str, run: Mapping[str, Any]) -> Alert:
    """The alert on a run that goes on beyond its deadline.

    :param run: as Airflow's REST API shows it.
    """
    from include.alerts.runs import missed_partition

    definition = arrangement_of(settings, model)
    conf = run.get("conf") or {}
    # Data without time has no other instant than the one at which the run was asked for.
    end = run.get("data_interval_end") or (None if definition.source.has_time else run.get("run_after"))
    as_of = run_as_of(
        model, conf, partition_key=run.get("partition_key"), interval_end=datetime.fromisoformat(end) if end else None
    )
    key = conf.get("last") or PartitionCalendar.of(definition).last_complete(as_of).key
    return missed_partition(
        model,
        places_of(settings),
        key=str(key),
        reason=f"The run that is to publish it has not ended {format_duration(definition.alerts.data_deadline)} after "
        "its start (alerts.data_deadline). It may wait for the source, or for a slot in its pool; its page says.",
        at=datetime.now(UTC),
        run=f"{run['dag_id']}/{run['dag_run_id']}",
        as_of=as_of,
    )
